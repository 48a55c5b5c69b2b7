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
    """(tokens,) those that a ratio is taken to: the sampler's own, or with importance weights the policy's before the
    update."""
    owner: torch.Tensor
    """(tokens,) the response that each token belongs to."""
    advantages: torch.Tensor
    """(responses,)"""
    weights: torch.Tensor
    """(responses,) how much each counts."""
    share: torch.Tensor
    """(responses,) what each token of a response counts: 1 for their sum, 1/length for their mean."""
    importance: torch.Tensor | None = None
    """(tokens,), or (responses,) with clip-sequence: how much more likely the policy was than the engine that sampled; None
    where it was the policy itself."""

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
    ``policy-gradient``. With ``geometric`` the ratio of a response is the geometric mean over its tokens. Importance
    weights are factors of the advantages.
    """
    gain = batch.advantages * batch.weights
    heard = 1.0 if batch.importance is None else batch.importance
    if loss == "clip-sequence":
        moved = batch.summed(batch.logprobs - batch.sampled)
        gain = heard * (gain if geometric else gain * batch.share)
        return _clipped((moved * batch.share if geometric else moved).exp(), gain, clip)
    token_gain = heard * (gain * batch.share)[batch.owner]
    ratios = (batch.logprobs - batch.sampled).exp()
    if loss == "clip-token":
        return _clipped(ratios, token_gain, clip)
    return Surrogate(-(token_gain * batch.logprobs).sum(), ratios.detach(), ratios.new_zeros(()))


def importance(batch: Responses, engine: torch.Tensor, loss: PolicyLoss, cap: float, geometric: bool) -> torch.Tensor:
    """min(π/π_engine, cap) with π the policy before the update: per token, or per response with ``clip-sequence``.

    ``engine`` (tokens,) has the log-probabilities with which the responses were sampled. An engine with other kernels or
    numbers samples from another policy than the one that learns. The ratio to the policy before the update keeps its clip
    (Hilton et al. 2021, Batch size-invariance for policy optimization, arXiv 2110.00641); what the engine did otherwise is
    a factor of its own, truncated because its variance has no bound (Yao et al. 2025, Your efficient RL framework secretly
    brings you off-policy RL training).
    """
    moved = batch.sampled - engine
    if loss == "clip-sequence":
        moved = batch.summed(moved)
        moved = moved * batch.share if geometric else moved
    return moved.exp().clamp(max=cap)


def _clipped(ratios: torch.Tensor, gain: torch.Tensor, clip: float) -> Surrogate:
    bounded = ratios.clamp(1 - clip, 1 + clip)
    active = (ratios * gain > bounded * gain).sum()
    return Surrogate(-torch.minimum(ratios * gain, bounded * gain).sum(), ratios.detach(), active)
