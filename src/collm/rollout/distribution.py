"""The one place that knows about temperature: from logits to the distribution that actors sample and learners score."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from collm.rollout.sampling import Sampling

_BLOCK = 128
"""Tokens of the vocabulary whose probabilities are summed together first."""


def log_distribution(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Log-probabilities (…, vocabulary) in fp32 at this temperature (at 0, those of temperature 1)."""
    logits = logits.float()
    return torch.log_softmax(logits / temperature if temperature not in (0, 1) else logits, dim=-1)


def log_probability(logits: torch.Tensor, tokens: torch.Tensor, temperature: float) -> torch.Tensor:
    """log π of tokens (places,) in the distributions of logits (places, vocabulary), without building these."""
    logits = logits.float()
    found: torch.Tensor = _Picked.apply(logits / temperature if temperature not in (0, 1) else logits, tokens[:, None])
    return found


def picked(logits: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax (places, vocabulary) and log softmax at one entry of each row, tokens (places, 1): one pass of
    exponentials for both."""
    shares = logits.softmax(-1)
    # The normaliser, from the likeliest entry: the share of any other may be too small for a number.
    total = logits.amax(-1, keepdim=True) - shares.amax(-1, keepdim=True).log_()
    return shares, (logits.gather(-1, tokens) - total).squeeze(-1)


def picked_gradient(shares: torch.Tensor, tokens: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
    """The gradient with respect to the logits, of one with respect to the scores (places,)."""
    grad = grad[:, None]
    return (shares * -grad).scatter_add_(-1, tokens, grad)


class _Picked(torch.autograd.Function):
    """log softmax at one entry (places, 1) of each row of logits."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        shares, scores = picked(logits, tokens)
        ctx.save_for_backward(shares, tokens)
        return scores

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        shares, tokens = ctx.saved_tensors
        return picked_gradient(shares, tokens, grad), None


def draw(logits: torch.Tensor, uniforms: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (rows,) and their log-probabilities (rows,) by inverting each row's distribution at its own uniform number.

    One number per row and token is all the randomness there is, so rows do not depend on each other.
    """
    temperature = sampling.temperature
    if temperature == 0:
        tokens = logits.argmax(-1)
        return tokens, log_probability(logits, tokens, 1.0)
    if sampling.top_k or sampling.top_p < 1:
        shares = _truncate(log_distribution(logits, temperature), sampling).exp_()
    else:
        logits = logits.float()
        shares = (logits / temperature if temperature != 1 else logits).softmax(-1)
    tokens = _inverted(shares, uniforms.double())
    return tokens, shares.gather(-1, tokens[:, None]).squeeze(-1).log_()


def _inverted(probabilities: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Tokens (rows,) at these quantiles (rows,) of distributions (rows, vocabulary) that need not sum to 1.

    First the block, then the token in it, because running sums over all tokens take longer than everything else.
    """
    missing = -probabilities.shape[-1] % _BLOCK
    blocks = (functional.pad(probabilities, (0, missing)) if missing else probabilities).unflatten(-1, (-1, _BLOCK))
    ends = blocks.sum(-1).cumsum(-1, dtype=torch.float64)
    # Rounding must not lead to a block or a token that cannot be.
    points = torch.minimum(uniforms[:, None] * ends[:, -1:], _below(ends[:, -1:]))
    block = torch.searchsorted(ends, points, right=True)
    inside = blocks.gather(1, block[..., None].expand(-1, -1, _BLOCK)).squeeze(1).cumsum(-1, dtype=torch.float64)
    starts = ends.gather(1, block) - inside[:, -1:]
    within = torch.minimum((points - starts).clamp_(min=0), _below(inside[:, -1:]))
    return (block * _BLOCK + torch.searchsorted(inside, within, right=True)).squeeze(-1)


def _below(values: torch.Tensor) -> torch.Tensor:
    """The next smaller numbers."""
    return torch.nextafter(values, torch.zeros_like(values))


def _truncate(logprobs: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The renormalised distribution on the kept tokens; −inf elsewhere."""
    ordered, tokens = logprobs.sort(dim=-1, descending=True, stable=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    dropped = before >= sampling.top_p
    if sampling.top_k:
        dropped[:, sampling.top_k :] = True
    dropped[:, 0] = False
    ordered = ordered.masked_fill(dropped, -torch.inf)
    return torch.empty_like(logprobs).scatter_(-1, tokens, ordered).log_softmax(-1)
