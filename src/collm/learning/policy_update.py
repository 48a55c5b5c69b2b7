"""One optimiser step of a policy: its surrogate loss, regularisers, and the value head that may sit on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from collm.credit import Credit
from collm.credit.estimators import agents_of, first_nodes
from collm.errors import ConfigError
from collm.learning.critic import Critic
from collm.learning.logprobs import Scored, score
from collm.learning.losses import Responses, Surrogate, surrogate
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
    ) -> None:
        """``reference`` holds log π_ref of every response's tokens, where a KL is taken or logged."""
        self.settings, self.temperature, self.token_budget = settings, temperature, token_budget
        self.forest, self.credit, self.reference = forest, credit, reference
        self.lengths = np.array([decision.span.stop - decision.span.said for decision in forest.decisions], dtype=float)
        if any(len(d.logprobs) != length for d, length in zip(forest.decisions, self.lengths, strict=True)):
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
            responses = self._responses(scored, share)
            found = surrogate(
                responses, self.settings.loss, self.settings.clip, geometric=self.settings.length == "mean"
            )
            loss = found.loss + self._regularisers(scored, responses)
            for agent, (critic, targets) in heads.items():
                loss = loss + critic.settings.coefficient * self._value_loss(scored, agent, critic, targets)
            (loss / total).backward()
            tally.add(loss.item() / total, found, responses, self._drift_from_reference(scored))
        return tally

    def _share(self, batch: Sequence[int]) -> np.ndarray:
        """(decisions of the forest,): what each token of a response counts."""
        if self.settings.length == "sum":
            return np.ones(len(self.lengths))
        if self.settings.length == "mean":
            return 1.0 / self.lengths
        weights = self.credit.weights[batch]
        return np.full(len(self.lengths), weights.sum() / (weights * self.lengths[batch]).sum())

    def _responses(self, scored: Scored, share: np.ndarray) -> Responses:
        chosen, device = scored.decisions, scored.logprobs.device

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(values).float().to(device)

        return Responses(
            scored.logprobs,
            tensor(np.concatenate([self.forest.decisions[d].logprobs for d in chosen])),
            scored.owner,
            tensor(self.credit.advantages[chosen]),
            tensor(self.credit.weights[chosen]),
            tensor(share[chosen]),
        )

    def _regularisers(self, scored: Scored, responses: Responses) -> torch.Tensor | float:
        """β·d²/2 (its gradient is the reverse KL's) and −c·H, per token."""
        cost: torch.Tensor | float = 0.0
        if self.settings.kl == "loss":
            distance = scored.logprobs - self._reference_of(scored)
            cost = responses.penalty(self.settings.kl_coefficient * distance.square() / 2)
        if scored.entropy is not None:
            cost = cost - responses.penalty(self.settings.entropy * scored.entropy)
        return cost

    def _reference_of(self, scored: Scored) -> torch.Tensor:
        assert self.reference is not None
        joined = np.concatenate([self.reference[decision] for decision in scored.decisions])
        return torch.from_numpy(joined).to(scored.logprobs.device)

    def _drift_from_reference(self, scored: Scored) -> float:
        """Sum over tokens of k3 = e^−d + d − 1: the logged estimate of the KL to the reference."""
        if self.reference is None:
            return 0.0
        distance = (scored.logprobs.detach() - self._reference_of(scored)).double()
        return float((torch.expm1(-distance) + distance).sum())

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


class Tally:
    """What the micro-batches of a step looked like."""

    def __init__(self) -> None:
        self.loss = 0.0
        self.sums = np.zeros(7)

    def add(self, loss: float, found: Surrogate, responses: Responses, drift: float) -> None:
        """Take in one micro-batch."""
        moved = (responses.sampled - responses.logprobs.detach()).double()
        self.loss += loss
        self.sums += [
            float((torch.expm1(-moved) + moved).sum()),
            float(-responses.logprobs.detach().double().sum()),
            drift,
            len(moved),
            float(found.ratios.double().sum()),
            float(found.clipped),
            len(found.ratios),
        ]

    def record(self, reference: bool) -> dict[str, Any]:
        """The step's metrics: means over tokens, and over ratios."""
        kl, surprise, drift, tokens, ratio, clipped, ratios = self.sums
        found = {
            "loss": self.loss,
            "kl": kl / tokens,
            "ratio": ratio / ratios,
            "clip_fraction": clipped / ratios,
            "entropy": surprise / tokens,
        }
        return {**found, "kl_reference": drift / tokens} if reference else found
