"""Policy losses on the tokens of a set of responses. All are sums, to be divided by the size of the whole batch."""

from __future__ import annotations

import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Surrogate:
    """A policy loss and what it looked like."""

    loss: torch.Tensor
    """Sum over the responses."""
    clipped: torch.Tensor
    """Number of ratios on which the clip was active."""
    ratios: torch.Tensor
    """Number of ratios."""


def _per_response(values: torch.Tensor, owner: torch.Tensor, count: int) -> torch.Tensor:
    return values.new_zeros(count).index_add(0, owner, values)


def policy_gradient(logprobs: torch.Tensor, owner: torch.Tensor, advantages: torch.Tensor) -> Surrogate:
    """−A·ℓ with ℓ the summed log-probability of the response: the paper's loss, one epoch, no ratio."""
    sequence = _per_response(logprobs, owner, len(advantages))
    zero = logprobs.new_zeros(())
    return Surrogate(-(advantages * sequence).sum(), zero, zero)


def clipped(
    logprobs: torch.Tensor,
    sampled: torch.Tensor,
    owner: torch.Tensor,
    advantages: torch.Tensor,
    clip: float,
    level: str,
) -> Surrogate:
    """−min(ρA, clip(ρ)A) with ρ = π/π_sampling per token or per whole response.

    At ρ = 1 the gradient is that of ``policy_gradient`` at either level. ``sampled`` holds the sampler's own
    log-probabilities, ``owner`` the response of each token.
    """
    if level == "sequence":
        logprobs = _per_response(logprobs, owner, len(advantages))
        sampled = _per_response(sampled, owner, len(advantages))
        gain = advantages
    else:
        gain = advantages[owner]
    ratio = (logprobs - sampled).exp()
    bounded = ratio.clamp(1 - clip, 1 + clip)
    active = (ratio * gain > bounded * gain).sum()
    return Surrogate(-torch.minimum(ratio * gain, bounded * gain).sum(), active, logprobs.new_tensor(len(ratio)))
