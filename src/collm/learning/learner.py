"""One update step: policies by their surrogate, critics by their targets, each with an optimiser of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from collm.credit import Credit
from collm.learning.critic import Critic
from collm.learning.logprobs import score
from collm.learning.losses import clipped, policy_gradient
from collm.learning.settings import CriticSettings, PolicySettings
from collm.models.policy import Policy
from collm.randomness import Key, generator
from collm.rollout.forest import Forest

T = TypeVar("T")


class Learner:
    """The trainable parts of a team: distinct policies, critics, and their AdamW optimisers."""

    def __init__(
        self,
        policies: Sequence[Policy],
        critics: Sequence[Critic],
        policy_settings: PolicySettings,
        critic_settings: CriticSettings,
        temperature: float,
        token_budget: int,
    ) -> None:
        self.policies, self.critics = list(policies), list(critics)
        self.policy_settings, self.critic_settings = policy_settings, critic_settings
        self.temperature, self.token_budget = temperature, token_budget
        distinct = {id(policy): policy for policy in policies}
        self.seats = [
            (policy, [agent for agent, other in enumerate(policies) if other is policy]) for policy in distinct.values()
        ]
        self.policy_optimisers = [_adamw(policy.model, policy_settings) for policy, _ in self.seats]
        self.critic_optimisers = [_adamw(critic.model, critic_settings) for critic in critics]
        self.skipped = 0
        """Optimiser steps skipped so far because a loss or gradient was not finite."""

    def values(self, forest: Forest) -> tuple[np.ndarray, np.ndarray]:
        """(nodes, columns) values and bootstraps of all critics side by side; no columns without critics."""
        found = [critic.values(forest, self.token_budget) for critic in self.critics]
        if not found:
            return np.zeros((len(forest), 0)), np.zeros((len(forest), 0))
        return np.concatenate([v for v, _ in found], 1), np.concatenate([b for _, b in found], 1)

    def update(
        self, forest: Forest, credit: Credit, lr_scale: float, key: tuple[Key, ...], move: bool
    ) -> dict[str, Any]:
        """One update from one forest. With ``move`` false only the critics learn. Returns metrics."""
        metrics: dict[str, Any] = {}
        if credit.targets is not None:
            metrics["critic"] = self._update_critics(forest, credit.targets, key)
        if move:
            metrics["policy"] = self._update_policies(forest, credit, lr_scale, key)
        return metrics

    def _update_policies(
        self, forest: Forest, credit: Credit, lr_scale: float, key: tuple[Key, ...]
    ) -> dict[str, float]:
        settings = self.policy_settings
        records = []
        for place, (policy, agents) in enumerate(self.seats):
            optimiser = self.policy_optimisers[place]
            for group in optimiser.param_groups:
                group["lr"] = settings.lr * lr_scale
            histories = _by_history(forest, credit, agents)
            for part in _minibatches(histories, settings.epochs, settings.minibatches, (*key, "policy", place)):
                batch = [decision for history in part for decision in history]
                records.append(self._policy_step(policy, optimiser, forest, credit, batch))
            policy.version += 1
        return {name: float(np.mean([record[name] for record in records])) for name in records[0]} if records else {}

    def _policy_step(
        self, policy: Policy, optimiser: torch.optim.Optimizer, forest: Forest, credit: Credit, batch: list[int]
    ) -> dict[str, float]:
        """One optimiser step on the mean surrogate over the responses of the batch."""
        optimiser.zero_grad(set_to_none=True)
        total = float(credit.weights[batch].sum())
        sums = np.zeros(5)
        for scored in score(policy, forest, batch, self.temperature, self.token_budget):
            device = scored.logprobs.device
            chosen = scored.decisions
            gain = torch.from_numpy(credit.advantages[chosen] * credit.weights[chosen]).float().to(device)
            sampled = torch.from_numpy(np.concatenate([forest.decisions[d].logprobs for d in chosen])).to(device)
            surrogate = self._surrogate(scored.logprobs, sampled, scored.owner, gain)
            loss = surrogate.loss / total
            loss.backward()
            moved = (sampled - scored.logprobs.detach()).double()
            drift = (torch.expm1(-moved) + moved).sum().item()
            sums += [loss.item(), surrogate.clipped.item(), surrogate.ratios.item(), drift, len(sampled)]
        norm = self._step(policy.model, optimiser, sums[0], self.policy_settings.max_grad_norm)
        return {
            "loss": sums[0],
            "grad_norm": norm,
            "kl": sums[3] / sums[4],
            "clip_fraction": sums[1] / sums[2] if sums[2] else 0.0,
        }

    def _surrogate(self, logprobs: torch.Tensor, sampled: torch.Tensor, owner: torch.Tensor, gain: torch.Tensor) -> Any:
        settings = self.policy_settings
        if settings.loss == "policy-gradient":
            return policy_gradient(logprobs, owner, gain)
        return clipped(logprobs, sampled, owner, gain, settings.clip, settings.loss.removeprefix("clip-"))

    def _update_critics(self, forest: Forest, targets: np.ndarray, key: tuple[Key, ...]) -> dict[str, float]:
        settings = self.critic_settings
        records = []
        column = 0
        for place, (critic, optimiser) in enumerate(zip(self.critics, self.critic_optimisers, strict=True)):
            outputs = critic.model.head.out_features
            own = targets[:, column : column + outputs]
            column += outputs
            critic.model.observe(torch.from_numpy(own).to(critic.device))
            todo = critic.read(forest)
            for batch in _minibatches(
                list(range(len(todo))), settings.epochs, settings.minibatches, (*key, "critic", place)
            ):
                optimiser.zero_grad(set_to_none=True)
                count = sum(len(todo[i].nodes) for i in batch) * outputs
                total = 0.0
                for loss in critic.losses([todo[i] for i in batch], own, self.token_budget):
                    (loss / count).backward()
                    total += loss.item() / count
                norm = self._step(critic.model, optimiser, total, settings.max_grad_norm)
                records.append({"loss": total, "grad_norm": norm})
        return {name: float(np.mean([record[name] for record in records])) for name in records[0]}

    def _step(self, model: torch.nn.Module, optimiser: torch.optim.Optimizer, loss: float, max_norm: float) -> float:
        """Clip and step; a non-finite loss or gradient skips the step and is counted. Returns the gradient norm."""
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm).item()
        if np.isfinite(loss) and np.isfinite(norm):
            optimiser.step()
        else:
            self.skipped += 1
        return norm


def _adamw(model: torch.nn.Module, settings: PolicySettings | CriticSettings) -> torch.optim.AdamW:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay, fused=False, foreach=True)


def _by_history(forest: Forest, credit: Credit, agents: Sequence[int]) -> list[list[int]]:
    """The agents' decisions that count, grouped by transcript: a history is read once per epoch, with all its turns."""
    histories: dict[int, list[int]] = {}
    for index, decision in enumerate(forest.decisions):
        if decision.agent in agents and credit.weights[index] > 0:
            histories.setdefault(decision.transcript, []).append(index)
    return list(histories.values())


def _minibatches(items: list[T], epochs: int, parts: int, key: tuple[Key, ...]) -> Iterator[list[T]]:
    """Every item once per epoch, in ``parts`` random parts of about equal size."""
    for epoch in range(epochs):
        order = generator(*key, epoch).permutation(len(items)) if parts > 1 else np.arange(len(items))
        for part in np.array_split(order, parts):
            if len(part):
                yield [items[i] for i in part]
