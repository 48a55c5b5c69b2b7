"""Models of one shape that compute as one: their weights side by side, one pass for all agents' rows, for playing only.

A pass of a small model takes the processor longer to order than to compute. Here the agents' passes are one: every matrix
product is a batched one over the agents, everything else is done for all rows together. Norm weights are multiplied into
the matrices behind them, matrices that read the same states are one, rotations are looked up. The result is that of the
library's models up to rounding (tested in fp32).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from collm.machine import large_products
from collm.models.base import Base
from collm.models.cache import RowCache
from collm.models.norm import inverse_rms

_TOKENS = 1 << 13
"""Tokens of all agents that are read at once."""
_SCORES = 1 << 20
"""Attention scores at once: 4 MiB, which stay close to the processor."""
_LARGE = 64
"""Rows of a matrix from which its products are large."""
_ARCHITECTURES = ("qwen3", "qwen2", "llama")
_ROTATIONS = ("default", "linear", "llama3", "yarn")


def stackable(base: Base) -> bool:
    """Whether this model can be one of a stack: small, in fp32, without adapters, of a known architecture."""
    config = base.config
    if base.adapters or base.autocast or base.model is None or base.settings.quantisation != "none":
        return False
    known = config.model_type in _ARCHITECTURES and config.hidden_act == "silu"
    rotates = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default") in _ROTATIONS
    return known and rotates and base.small and base.window is None


def same_shape(one: Base, other: Base) -> bool:
    """Whether two models differ in nothing but their weights."""
    differs = ("_name_or_path",)
    mine, yours = (base.config.to_dict() for base in (one, other))
    return all(mine[key] == yours.get(key) for key in mine if key not in differs) and one.device == other.device


class Stack:
    """The models of A agents as one. States are (agents, rows, tokens, width); a row's cache slot is agent · rows + row."""

    def __init__(self, bases: Sequence[Base]) -> None:
        """Copies the weights as they are now."""
        self.config = config = bases[0].config
        self.agents = len(bases)
        self.heads, self.shared = config.num_attention_heads, config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.epsilon: float = config.rms_norm_eps
        trunks = [base.trunk for base in bases]
        self.embedding = _stacked(trunks, lambda trunk: trunk.embed_tokens.weight)
        self.output = _stacked(bases, lambda base: base.model.get_output_embeddings().weight * base.trunk.norm.weight)
        self.layers = [_Layer([trunk.layers[place] for trunk in trunks]) for place in range(config.num_hidden_layers)]
        self._rotation = trunks[0].rotary_emb
        self._turns: tuple[torch.Tensor, torch.Tensor] | None = None

    def states(self, tokens: torch.Tensor, positions: torch.Tensor, cache: RowCache) -> torch.Tensor:
        """Last-layer states (agents, rows, tokens, width), normalised. Reads and writes the leading rows of each agent's
        part of the cache, up to ``cache.width``. ``tokens`` and ``positions`` are (agents, rows, tokens)."""
        agents, rows, length = tokens.shape
        at_once = max(1, _TOKENS // (agents * length))
        with large_products(min(rows, at_once) * length >= _LARGE):
            found = [
                self._states(tokens[:, first : first + at_once], positions[:, first : first + at_once], cache, first)
                for first in range(0, rows, at_once)
            ]
        return found[0] if len(found) == 1 else torch.cat(found, 1)

    def _states(self, tokens: torch.Tensor, positions: torch.Tensor, cache: RowCache, first: int) -> torch.Tensor:
        """The same for the rows of each agent from ``first`` on."""
        agents, rows, length = tokens.shape
        place = torch.arange(agents, device=tokens.device)[:, None, None]
        states = self.embedding[place, tokens]
        cos, sin = (table[positions][..., None, :] for table in self._turned(cache.capacity, states))
        per_agent = cache.rows // agents
        slot = (place * per_agent + torch.arange(first, first + rows, device=tokens.device)[:, None]).expand(
            -1, -1, length
        )
        hidden = torch.arange(cache.width, device=tokens.device) > positions[..., None]
        mask = torch.zeros_like(hidden, dtype=states.dtype).masked_fill_(hidden, -torch.inf).flatten(0, 1)
        for layer, kept in zip(self.layers, cache.layers, strict=True):
            read = layer.read(states * inverse_rms(states, self.epsilon))
            pairs = read[..., : (self.heads + self.shared) * self.size].unflatten(-1, (-1, self.size))
            if layer.head_norms is not None:
                pairs = pairs * inverse_rms(pairs, self.epsilon) * layer.head_norms
            pairs = torch.addcmul(pairs * cos, pairs.roll(self.size // 2, -1), sin)
            values = read[..., (self.heads + self.shared) * self.size :].unflatten(-1, (-1, self.size))
            keys = kept.write(slot, positions, pairs[..., self.heads :, :], values)
            states = states + layer.write(self._attend(pairs[..., : self.heads, :], keys, mask, first))
            inner = layer.widen(states * inverse_rms(states, self.epsilon))
            gate, up = inner.chunk(2, -1)
            states = states + layer.narrow(functional.silu(gate) * up)
        return states * inverse_rms(states, self.epsilon)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits (agents, rows, vocabulary) at states (agents, rows, width)."""
        with large_products(states.shape[1] >= _LARGE):
            return torch.bmm(states, self.output.transpose(1, 2))

    def _attend(
        self, queries: torch.Tensor, kept: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor, first: int
    ) -> torch.Tensor:
        """(agents, rows, tokens, heads · size). Queries that share a key head are queries of one longer sequence. ``mask``
        (agents · rows, tokens, width) is added to their scores."""
        agents, rows, length = queries.shape[:3]
        group = self.heads // self.shared
        queries = queries.unflatten(3, (self.shared, group)).permute(0, 1, 3, 4, 2, 5).flatten(3, 4).flatten(0, 1)
        found = torch.empty_like(queries)
        at_once = max(1, _SCORES // (self.heads * mask[0].numel()))
        with large_products(group * length >= _LARGE):
            for mine, slots in self._places(rows, len(kept[0]) // agents, first, at_once):
                keys, values = (one[slots, :, : mask.shape[-1]].flatten(0, 1) for one in kept)
                scores = torch.bmm(queries[mine].flatten(0, 1), keys.transpose(1, 2))
                apart = scores.unflatten(1, (group, length)).unflatten(0, (-1, self.shared))
                apart += mask[mine][:, None, None]
                found[mine] = torch.bmm(scores.softmax(-1), values).unflatten(0, (-1, self.shared))
        return found.unflatten(0, (agents, rows)).unflatten(3, (group, length)).permute(0, 1, 4, 2, 3, 5).flatten(3)

    def _places(self, rows: int, slots: int, first: int, at_once: int) -> Iterator[tuple[slice, slice]]:
        """So many rows at once, as a part of the agents' ``rows``, and of the cache, which has ``slots`` for each agent and
        these rows from ``first`` on."""
        agents = self.agents
        if rows == slots:
            agents, rows, slots = 1, agents * rows, agents * slots
        for agent, start in itertools.product(range(agents), range(0, rows, at_once)):
            stop = min(start + at_once, rows)
            yield (
                slice(agent * rows + start, agent * rows + stop),
                slice(agent * slots + first + start, agent * slots + first + stop),
            )

    def _turned(self, length: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The rotations of all positions: (positions, size) each; the sine's first half has its sign turned."""
        if self._turns is None or len(self._turns[0]) < length:
            cos, sin = self._rotation(like, torch.arange(length, device=like.device)[None])
            sign = torch.ones_like(sin[0])
            sign[:, : self.size // 2] = -1
            self._turns = cos[0], sin[0] * sign
        return self._turns


class _Layer:
    """One layer of all agents."""

    def __init__(self, layers: Sequence[Any]) -> None:
        attention = [layer.self_attn for layer in layers]
        before, behind = ([getattr(layer, name).weight for layer in layers] for name in _NORMS)
        self.read = _Product([[one.q_proj, one.k_proj, one.v_proj] for one in attention], before)
        normed = hasattr(attention[0], "q_norm")
        if not normed:
            self.read.scale(attention[0].q_proj.out_features, attention[0].head_dim ** -0.5)
        self.write = _Product([[one.o_proj] for one in attention])
        self.widen = _Product([[layer.mlp.gate_proj, layer.mlp.up_proj] for layer in layers], behind)
        self.narrow = _Product([[layer.mlp.down_proj] for layer in layers])
        self.head_norms: torch.Tensor | None = None
        if normed:
            self.head_norms = _stacked(attention, _head_norms)[:, None, None]


_NORMS = ("input_layernorm", "post_attention_layernorm")


def _head_norms(attention: Any) -> torch.Tensor:
    """(query and key heads, size): the norm weights of a layer's queries, with the scale of attention in them, then of its
    keys."""
    size = attention.head_dim
    queries, keys = attention.q_proj.out_features // size, attention.k_proj.out_features // size
    return torch.cat(
        [attention.q_norm.weight.expand(queries, -1) * size**-0.5, attention.k_norm.weight.expand(keys, -1)]
    )


class _Product:
    """Linear layers that read the same states, as one batched product over the agents."""

    def __init__(self, linears: Sequence[Sequence[nn.Linear]], norms: Sequence[torch.Tensor] | None = None) -> None:
        """(agents, layers) and the weight of the norm in front of each agent's."""
        weights = [torch.cat([one.weight for one in own]) for own in linears]
        if norms is not None:
            weights = [weight * norm for weight, norm in zip(weights, norms, strict=True)]
        self.weight = torch.stack(weights).transpose(1, 2)
        self.bias = None
        if any(one.bias is not None for one in linears[0]):
            self.bias = _stacked(linears, lambda own: torch.cat([_bias(one) for one in own]))[:, None]

    def scale(self, outputs: int, factor: float) -> None:
        """Multiply the first outputs."""
        self.weight[..., :outputs] *= factor
        if self.bias is not None:
            self.bias[..., :outputs] *= factor

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """(agents, rows, tokens, in) → (agents, rows, tokens, out)."""
        flat = states.flatten(1, 2)
        found = torch.bmm(flat, self.weight) if self.bias is None else torch.baddbmm(self.bias, flat, self.weight)
        return found.unflatten(1, states.shape[1:3])


def _bias(linear: nn.Linear) -> torch.Tensor:
    return linear.weight.new_zeros(linear.out_features) if linear.bias is None else linear.bias


def _stacked(things: Sequence[Any], weight: Callable[[Any], torch.Tensor]) -> torch.Tensor:
    return torch.stack([weight(thing).detach() for thing in things])
