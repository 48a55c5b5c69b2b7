"""Attention on a processor as a few large matrix products, with gradients.

The library's kernel goes through small blocks, whose products are far from what a processor can do; here a block is some
queries of all rows and heads. What no query of a block may see is not computed. Elsewhere the library's kernel is used.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from collm.errors import ModelError
from collm.models.packing import additive, packing_of

NAME = "collm"
"""The name under which the library's models find it."""
_BLOCK = 64
"""Least number of queries of a block; above, an eighth of all."""
_KEPT = 1 << 22
"""Attention weights of a layer up to which they are kept for the gradient instead of being made again: 16 MiB in fp32."""


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """The library's interface: query (rows, heads, queries, size), key and value (rows, key heads, keys, size), a mask
    that is True where attention is allowed, or none for a causal pass; gives (rows, queries, heads, size). A mask that
    carries a packing says which of the tokens of one row see which."""
    if rest.get("s_aux") is not None:
        raise ModelError("this model's attention has sinks, which is not supported. Use another model.")
    packing = packing_of(attention_mask)
    if packing is None:
        return _attention(module, query, key, value, attention_mask, scaling, rest), None

    attend_apart = functools.partial(_attention, module, scaling=scaling, rest=rest)
    return packing.attention(query, key, value, attend_apart), None


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    rest: dict[str, Any],
) -> torch.Tensor:
    length, keys = query.shape[2], key.shape[2]
    ours = query.device.type == "cpu" and length > 1 and (mask is not None or length == keys)
    if ours and not rest.get("dropout"):
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        return attend(query * scale, key, value, mask).transpose(1, 2).contiguous()
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(query.dtype)
    found: torch.Tensor = sdpa_attention_forward(module, query, key, value, mask, scaling=scaling, **rest)[0]
    return found


def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """softmax(QKᵀ)V: queries (rows, heads, queries, size), keys and values (rows, key heads, keys, size). ``mask`` (rows
    or 1, 1, queries, keys) is True where attention is allowed, or added to the scores; without one, query t sees keys
    0 … t."""
    rows, heads, _, _ = queries.shape
    shared, device = keys.shape[1], queries.device.type
    if torch.is_autocast_enabled(device):
        queries, keys, values = (each.to(torch.get_autocast_dtype(device)) for each in (queries, keys, values))
    added = None if mask is None else additive(mask).expand(rows, shared, -1, -1).flatten(0, 1)
    # The gradient is made outside of the autocast, so the numbers are chosen here once.
    with torch.autocast(device, enabled=False):
        found = _Attention.apply(
            queries.unflatten(1, (shared, heads // shared)).flatten(0, 1),
            keys.flatten(0, 1),
            values.flatten(0, 1),
            added,
        )
    return found.unflatten(0, (rows, shared)).flatten(1, 2)


@dataclasses.dataclass(frozen=True)
class _Block:
    """Queries ``start`` … ``stop`` − 1, which see keys 0 … ``seen`` − 1 at most."""

    start: int
    stop: int
    seen: int

    def of(self, queries: torch.Tensor) -> torch.Tensor:
        """(heads, group, queries, …) → (heads, group · queries of the block, …)."""
        return queries[:, :, self.start : self.stop].flatten(1, 2)

    def weights(self, queries: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """(heads, group · queries of the block, keys seen): what each query takes of each key."""
        count = self.stop - self.start
        scores = torch.bmm(self.of(queries), keys[:, : self.seen].transpose(1, 2))
        apart = scores.unflatten(1, (-1, count))
        if mask is not None:
            apart += mask[:, None, self.start : self.stop]
        else:
            apart[..., self.start :] += torch.full((count, count), -torch.inf, dtype=scores.dtype).triu(1)
        return torch.softmax(scores, -1)


def _blocks(queries: int, keys: int, causal: bool) -> Iterator[_Block]:
    if not causal:
        yield _Block(0, queries, keys)
        return
    size = max(_BLOCK, -(-queries // 8))
    for start in range(0, queries, size):
        stop = min(start + size, queries)
        yield _Block(start, stop, stop)


class _Attention(torch.autograd.Function):
    """Queries are (heads, group, queries, size): those of a group share a key head."""

    @staticmethod
    def forward(
        ctx: Any, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        heads, group, length, _ = queries.shape
        found = queries.new_empty(heads, group, length, values.shape[-1])
        keep = any(ctx.needs_input_grad[:3]) and heads * group * length * keys.shape[1] <= _KEPT
        kept = []
        for block in _blocks(length, keys.shape[1], mask is None):
            weights = block.weights(queries, keys, mask)
            taken = torch.bmm(weights, values[:, : block.seen])
            found[:, :, block.start : block.stop] = taken.unflatten(1, (group, -1))
            if keep:
                kept.append(weights)
        ctx.save_for_backward(queries, keys, values, mask, found, *kept)
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        queries, keys, values, mask, found, *kept = ctx.saved_tensors
        share = (grad * found).sum(-1, keepdim=True)
        of_queries, of_keys, of_values = torch.empty_like(queries), torch.zeros_like(keys), torch.zeros_like(values)
        for place, block in enumerate(_blocks(queries.shape[2], keys.shape[1], mask is None)):
            weights = kept[place] if kept else block.weights(queries, keys, mask)
            own, seen = block.of(grad), slice(0, block.seen)
            of_values[:, seen] += torch.bmm(weights.transpose(1, 2), own)
            of_scores = torch.bmm(own, values[:, seen].transpose(1, 2)).sub_(block.of(share)).mul_(weights)
            of_queries[:, :, block.start : block.stop] = torch.bmm(of_scores, keys[:, seen]).unflatten(
                1, (queries.shape[1], -1)
            )
            of_keys[:, seen] += torch.bmm(of_scores.transpose(1, 2), block.of(queries))
        return of_queries, of_keys, of_values, None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
