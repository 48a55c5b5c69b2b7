"""log π of tokens from last-layer states, through an output layer that is one matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from collm.rollout.distribution import picked, picked_gradient

AT_ONCE = 1 << 20
"""Logits that are made at once: 4 MiB in fp32, which stay close to the processor; but never fewer than ``ROWS`` rows."""
ROWS = 128
KEPT = 1 << 24
"""Up to so many, the distributions of a pass are kept for the gradient; above, they are made again."""


def scores(hidden: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor, temperature: float) -> torch.Tensor:
    """(tokens,): log π of tokens at states (tokens, width), with weight (vocabulary, width).

    The gradient of the weight is added up in one matrix, where torch would make one for each part and add these.
    """
    found: torch.Tensor = _Scores.apply(hidden, weight, tokens[:, None], temperature or 1.0)
    return found


def parts(count: int, vocabulary: int) -> Iterator[slice]:
    """The places whose logits are made at once."""
    size = max(ROWS, AT_ONCE // vocabulary)
    return (slice(start, start + size) for start in range(0, count, size))


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        found = hidden.new_empty(len(tokens))
        keep = any(ctx.needs_input_grad[:2]) and len(tokens) * len(weight) <= KEPT
        kept = []
        for part in parts(len(tokens), len(weight)):
            shares, found[part] = picked(_logits(hidden[part], weight, temperature), tokens[part])
            if keep:
                kept.append(shares)
        ctx.save_for_backward(hidden, weight, tokens, *kept)
        ctx.temperature = temperature
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None, None]:
        hidden, weight, tokens, *kept = ctx.saved_tensors
        of_hidden = torch.empty_like(hidden)
        of_weight: torch.Tensor | None = None
        for place, part in enumerate(parts(len(tokens), len(weight))):
            if kept:
                shares = kept[place]
            else:
                shares, _ = picked(_logits(hidden[part], weight, ctx.temperature), tokens[part])
            of_logits = picked_gradient(shares, tokens[part], grad[part] / ctx.temperature)
            of_hidden[part] = of_logits @ weight
            if not ctx.needs_input_grad[1]:
                continue
            if of_weight is None:
                of_weight = of_logits.T @ hidden[part]
            else:
                of_weight.addmm_(of_logits.T, hidden[part])
        return of_hidden, of_weight, None, None


def _logits(hidden: torch.Tensor, weight: torch.Tensor, temperature: float) -> torch.Tensor:
    logits = hidden @ weight.T
    return logits if temperature == 1 else logits.div_(temperature)
