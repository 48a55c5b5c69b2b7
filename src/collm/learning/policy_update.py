"""One optimiser step of a policy: its surrogate loss, regularisers, and the value head that may sit on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from collm.credit import Credit
from collm.credit.estimators import agents_of, first_nodes
from collm.errors import ConfigError
from collm.learning.critic import Critic
from collm.learning.logprobs import Scored, score
from collm.learning.losses import Responses, Surrogate, importance, surrogate
from collm.learning.settings import PolicySettings
from collm.models.policy import Policy
from collm.rollout.forest import Forest


class PolicyUpdate:
    """The policy losses of one update: a forest, its credit, and what regularises the step."""

    def __init__(
        self,
        settings: PolicySettings,
        temperature: float,
        token_budget: int,
        forest: Forest,
        credit: Credit,
        reference: list[np.ndarray] | None,
        before: list[np.ndarray] | None = None,
    ) -> None:
        """``reference`` holds log π_ref of every response's tokens, where a KL is taken or logged; ``before`` log π as it is
        before the update, where importance weights are asked for."""
        self.before = before
        self.settings, self.temperature, self.token_budget = settings, temperature, token_budget
        self.forest, self.credit, self.reference = forest, credit, reference
        self.lengths = np.array([decision.span.stop - decision.span.said for decision in forest.decisions], dtype=float)
        self.sampled = [decision.logprobs for decision in forest.decisions]
        if any(len(own) != length for own, length in zip(self.sampled, self.lengths, strict=True)):
            raise ConfigError(
                f"some responses came without the sampler's log-probabilities, and policy.loss = {settings.loss} with "
                f"policy.epochs = {settings.epochs} needs them for its ratio. Play with an engine that records them."
            )

    def episodes(self, agents: Sequence[int]) -> int:
        """How many first responses these agents gave: a number that no action changes.

        Losses are divided by it. The number of responses would be a ratio estimator: biased wherever the policy has a
        say in how long an episode lasts.
        """
        turn = self.forest.turn[first_nodes(self.forest)]
        return int(((turn == 0) & np.isin(agents_of(self.forest), agents)).sum())

    def backward(
        self, policy: Policy, batch: Sequence[int], total: float, heads: dict[int, tuple[Critic, np.ndarray]]
    ) -> Tally:
        """Accumulate the gradient of the loss of these decisions, divided by ``total``; ``heads`` are value heads on the
        policy."""
        tally = Tally()
        share = self._share(batch)
        wants_entropy = self.settings.entropy > 0
        for scored in score(policy, self.forest, batch, self.temperature, self.token_budget, wants_entropy):
            engine = self._joined(self.sampled, scored)
            responses = self._responses(scored, engine, share)
            found = surrogate(responses, self.settings.loss, self.settings.clip, self.geometric)
            loss = found.loss + self._regularisers(scored, responses)
            for agent, (critic, targets) in heads.items():
                loss = loss + critic.settings.coefficient * self._value_loss(scored, agent, critic, targets)
            (loss / total).backward()
            drift = 0.0 if self.reference is None else _k3(scored.logprobs - self._joined(self.reference, scored))
            tally.add(loss.item() / total, found, responses, drift, _k3(engine - scored.logprobs))
        return tally

    def _share(self, batch: Sequence[int]) -> np.ndarray:
        """(decisions of the forest,): what each token of a response counts."""
        if self.settings.length == "sum":
            return np.ones(len(self.lengths))
        if self.settings.length == "mean":
            return 1.0 / self.lengths
        weights = self.credit.weights[batch]
        return np.full(len(self.lengths), weights.sum() / (weights * self.lengths[batch]).sum())

    @property
    def geometric(self) -> bool:
        """Whether the ratio of a response is the geometric mean over its tokens."""
        return self.settings.length == "mean"

    def _responses(self, scored: Scored, engine: torch.Tensor, share: np.ndarray) -> Responses:
        chosen, device = scored.decisions, scored.logprobs.device

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(values).float().to(device)

        responses = Responses(
            scored.logprobs,
            engine if self.before is None else self._joined(self.before, scored),
            scored.owner,
            tensor(self.credit.advantages[chosen]),
            tensor(self.credit.weights[chosen]),
            tensor(share[chosen]),
        )
        cap = self.settings.importance_cap
        if cap is None or self.before is None:
            return responses
        weights = importance(responses, engine, self.settings.loss, cap, self.geometric)
        return dataclasses.replace(responses, importance=weights)

    def _regularisers(self, scored: Scored, responses: Responses) -> torch.Tensor | float:
        """β·d²/2 (its gradient is the reverse KL's) and −c·H, per token."""
        cost: torch.Tensor | float = 0.0
        if self.settings.kl == "loss":
            assert self.reference is not None
            distance = scored.logprobs - self._joined(self.reference, scored)
            cost = responses.penalty(self.settings.kl_coefficient * distance.square() / 2)
        if scored.entropy is not None:
            cost = cost - responses.penalty(self.settings.entropy * scored.entropy)
        return cost

    @staticmethod
    def _joined(values: Sequence[np.ndarray], scored: Scored) -> torch.Tensor:
        """(tokens,) of values per decision."""
        joined = np.concatenate([values[decision] for decision in scored.decisions])
        return torch.from_numpy(joined).float().to(scored.logprobs.device)

    def _value_loss(self, scored: Scored, agent: int, critic: Critic, targets: np.ndarray) -> torch.Tensor | float:
        """Squared errors of the head's values at the responses' openings, in proportion to their weights."""
        mine = [i for i, decision in enumerate(scored.decisions) if self.forest.decisions[decision].agent == agent]
        if not mine:
            return 0.0
        chosen = [scored.decisions[i] for i in mine]
        head = critic.model.head
        wanted = head.in_norm(torch.from_numpy(targets[chosen]).to(critic.device))
        weights = torch.from_numpy(self.credit.weights[chosen]).float().to(critic.device)
        return (weights[:, None] * (head(scored.openings[mine]) - wanted).square()).sum()


def _k3(distance: torch.Tensor) -> float:
    """Sum over tokens of k3 = e^−d + d − 1, with d = log of the sampling over the other policy: an estimate of their KL."""
    d = distance.detach().double()
    return float((torch.expm1(-d) + d).sum())


class Tally:
    """What the micro-batches of a step looked like."""

    def __init__(self) -> None:
        self.loss = 0.0
        self.sums = np.zeros(8)
        self.importance: list[torch.Tensor] = []

    def add(self, loss: float, found: Surrogate, responses: Responses, drift: float, mismatch: float) -> None:
        """Take in one micro-batch."""
        self.loss += loss
        if responses.importance is not None:
            self.importance.append(responses.importance)
        self.sums += [
            _k3(responses.sampled - responses.logprobs),
            float(-responses.logprobs.detach().double().sum()),
            drift,
            mismatch,
            len(responses.sampled),
            float(found.ratios.double().sum()),
            float(found.clipped),
            len(found.ratios),
        ]

    def record(self, reference: bool) -> dict[str, Any]:
        """The step's metrics: means over tokens, and over ratios."""
        kl, surprise, drift, mismatch, tokens, ratio, clipped, ratios = self.sums
        found = {
            "loss": self.loss,
            "kl": kl / tokens,
            "ratio": ratio / ratios,
            "clip_fraction": clipped / ratios,
            "entropy": surprise / tokens,
            "engine_kl": mismatch / tokens,
        }
        if self.importance:
            found["importance"] = float(torch.cat(self.importance).double().mean())
        return {**found, "kl_reference": drift / tokens} if reference else found
