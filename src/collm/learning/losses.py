"""Policy losses on the tokens of a set of responses. All are sums, to be divided by the weight of the whole batch."""

from __future__ import annotations

import dataclasses

import torch

from collm.learning.settings import PolicyLoss


@dataclasses.dataclass(frozen=True)
class Responses:
    """The scored tokens of some responses."""

    logprobs: torch.Tensor
    """(tokens,) log π, with gradient."""
    sampled: torch.Tensor
    """(tokens,) the sampler's own log-probabilities."""
    owner: torch.Tensor
    """(tokens,) the response that each token belongs to."""
    advantages: torch.Tensor
    """(responses,)"""
    weights: torch.Tensor
    """(responses,) how much each counts."""
    share: torch.Tensor
    """(responses,) what each token of a response counts: 1 for their sum, 1/length for their mean."""

    def summed(self, per_token: torch.Tensor) -> torch.Tensor:
        """(responses,): a value per token, summed over each response."""
        return per_token.new_zeros(len(self.advantages)).index_add(0, self.owner, per_token)

    def penalty(self, per_token: torch.Tensor) -> torch.Tensor:
        """A cost per token as a loss, weighted as the responses are."""
        return ((self.weights * self.share)[self.owner] * per_token).sum()


@dataclasses.dataclass(frozen=True)
class Surrogate:
    """A policy loss and what it looked like."""

    loss: torch.Tensor
    """Sum over the responses."""
    ratios: torch.Tensor
    """ρ = π/π_sampling of every token, or of every response."""
    clipped: torch.Tensor
    """The number of ratios on which the clip was active."""


def surrogate(batch: Responses, loss: PolicyLoss, clip: float, geometric: bool) -> Surrogate:
    """The policy loss of these responses.

    ``policy-gradient`` is the paper's −A·ℓ with ℓ the macro-action's log-probability. ``clip-token`` and
    ``clip-sequence`` are −min(ρA, clip(ρ)A) with ρ per token or per response; at ρ = 1 their gradient is that of
    ``policy-gradient``. With ``geometric`` the ratio of a response is the geometric mean over its tokens.
    """
    gain = batch.advantages * batch.weights
    if loss == "clip-sequence":
        moved = batch.summed(batch.logprobs - batch.sampled)
        gain = gain if geometric else gain * batch.share
        return _clipped((moved * batch.share if geometric else moved).exp(), gain, clip)
    token_gain = (gain * batch.share)[batch.owner]
    ratios = (batch.logprobs - batch.sampled).exp()
    if loss == "clip-token":
        return _clipped(ratios, token_gain, clip)
    return Surrogate(-(token_gain * batch.logprobs).sum(), ratios.detach(), ratios.new_zeros(()))


def _clipped(ratios: torch.Tensor, gain: torch.Tensor, clip: float) -> Surrogate:
    bounded = ratios.clamp(1 - clip, 1 + clip)
    active = (ratios * gain > bounded * gain).sum()
    return Surrogate(-torch.minimum(ratios * gain, bounded * gain).sum(), ratios.detach(), active)
