"""One update step: policies by their surrogate, critics by their targets, each with an optimiser of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from collm.credit import Credit, per_decision
from collm.credit.estimators import reach
from collm.learning.critic import Critic, Values
from collm.learning.policy_update import PolicyUpdate
from collm.learning.reference import reference_logprobs
from collm.learning.settings import CriticSettings, PolicySettings
from collm.memory import needed_for
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
        references: Sequence[Policy] | None = None,
    ) -> None:
        """``references`` are the agents' frozen policies that a KL is taken to, if one is."""
        self.policies, self.critics, self.references = list(policies), list(critics), references
        self.policy_settings, self.critic_settings = policy_settings, critic_settings
        self.temperature, self.token_budget = temperature, token_budget
        distinct = {id(policy): policy for policy in policies}
        self.seats = [
            (policy, [agent for agent, other in enumerate(policies) if other is policy]) for policy in distinct.values()
        ]
        self.policy_optimisers = [_adamw(policy.own, policy_settings) for policy, _ in self.seats]
        self.critic_optimisers = [_adamw(critic.model, critic_settings) for critic in critics]
        self.skipped = 0
        """Optimiser steps skipped so far because a loss or gradient was not finite."""

    @property
    def heads(self) -> bool:
        """Whether the critics are value heads on the policies."""
        return self.critic_settings.backbone == "policy" and bool(self.critics)

    @needed_for("learning")
    def values(self, forest: Forest, slow: bool = False) -> Values | None:
        """What all critics (or their slow copies) say, side by side; None without critics."""
        if not self.critics:
            return None
        found = [critic.values(forest, self.token_budget, slow) for critic in self.critics]
        actions = [values.action_values for values in found if values.action_values is not None]
        return Values(
            np.concatenate([values.values for values in found], 1),
            np.concatenate([values.bootstraps for values in found], 1),
            np.concatenate(actions, 1) if actions else None,
        )

    @needed_for("learning")
    def reference_logprobs(self, forest: Forest) -> list[np.ndarray] | None:
        """log π_ref of every response's tokens; None without references."""
        if self.references is None:
            return None
        return reference_logprobs(self.references, forest, self.temperature, self.token_budget)

    @needed_for("learning")
    def update(
        self,
        forest: Forest,
        credit: Credit,
        lr_scale: float,
        key: tuple[Key, ...],
        move: bool,
        update: int = 0,
        reference: list[np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """One update from one forest. With ``move`` false only the critics learn. Returns metrics."""
        metrics: dict[str, Any] = {}
        if credit.targets is not None:
            weights = reach(forest)
            for _, critic, columns in self._columns():
                critic.observe(credit.targets[:, columns], weights)
            if not self.heads or not move:
                metrics["critic"] = self._update_critics(forest, credit.targets, weights, key)
        if move:
            settings, temperature, budget = self.policy_settings, self.temperature, self.token_budget
            before = None
            if settings.importance_cap is not None:
                before = reference_logprobs(self.policies, forest, temperature, budget)
            losses = PolicyUpdate(settings, temperature, budget, forest, credit, reference, before)
            metrics["policy"] = self._update_policies(losses, lr_scale, key)
        for critic in self.critics:
            critic.follow(update)
        return metrics

    def _columns(self) -> Iterator[tuple[int, Critic, slice]]:
        """Every critic with its place and its columns of the team's values."""
        start = 0
        for place, critic in enumerate(self.critics):
            yield place, critic, slice(start, start + critic.outputs)
            start += critic.outputs

    def _update_policies(self, losses: PolicyUpdate, lr_scale: float, key: tuple[Key, ...]) -> dict[str, float]:
        settings = self.policy_settings
        records: list[dict[str, float]] = []
        first = []
        for place, (policy, agents) in enumerate(self.seats):
            begun = len(records)
            optimiser = self.policy_optimisers[place]
            for group in optimiser.param_groups:
                group["lr"] = settings.lr * lr_scale
            heads = self._heads_of(agents, losses)
            histories = _by_history(losses.forest, losses.credit, agents)
            per_step = losses.episodes(agents) / max(1, min(settings.minibatches, len(histories)))
            for part in _minibatches(histories, settings.epochs, settings.minibatches, (*key, "policy", place)):
                batch = [decision for history in part for decision in history]
                records.append(self._policy_step(policy, optimiser, losses, batch, per_step, heads))
            policy.version += 1
            # Later steps see what the earlier ones moved, not how the engine differs.
            first += [record["engine_kl"] for record in records[begun : begun + 1]]
        return {**_means(records), "engine_kl": float(np.mean(first))} if records else {}

    def _heads_of(self, agents: Sequence[int], losses: PolicyUpdate) -> dict[int, tuple[Critic, np.ndarray]]:
        """The value heads on a policy, by agent, with a target per response: (decisions, 1)."""
        if not self.heads:
            return {}
        targets = losses.credit.targets
        assert targets is not None
        return {
            critic.agents[0]: (critic, per_decision(losses.forest, targets[:, columns])[:, None])
            for _, critic, columns in self._columns()
            if critic.agents[0] in agents
        }

    def _policy_step(
        self,
        policy: Policy,
        optimiser: torch.optim.Optimizer,
        losses: PolicyUpdate,
        batch: list[int],
        episodes: float,
        heads: dict[int, tuple[Critic, np.ndarray]],
    ) -> dict[str, float]:
        """One optimiser step on the mean surrogate over episodes: the responses of the batch, per ``episodes``."""
        tally = losses.backward(policy, batch, episodes, heads)
        norm = self._step(policy.own, optimiser, tally.loss, self.policy_settings.max_grad_norm)
        for agent, (critic, _) in heads.items():
            self._step(critic.model, self.critic_optimisers[agent], tally.loss, self.critic_settings.max_grad_norm)
        return {**tally.record(losses.reference is not None), "grad_norm": norm}

    def _update_critics(
        self, forest: Forest, targets: np.ndarray, weights: np.ndarray, key: tuple[Key, ...]
    ) -> dict[str, float]:
        settings = self.critic_settings
        records = []
        for place, critic, columns in self._columns():
            optimiser, own = self.critic_optimisers[place], targets[:, columns]
            todo = [reading for reading in critic.read(forest) if reading.places]
            for batch in _minibatches(
                list(range(len(todo))), settings.epochs, settings.minibatches, (*key, "critic", place)
            ):
                count = sum(weights[todo[i].nodes].sum() for i in batch) * critic.outputs
                total = 0.0
                for loss in critic.losses([todo[i] for i in batch], own, weights, self.token_budget):
                    (settings.coefficient * loss / count).backward()
                    total += loss.item() / count
                norm = self._step(critic.model, optimiser, total, settings.max_grad_norm)
                records.append({"loss": total, "grad_norm": norm})
        return _means(records)

    def _step(
        self, model: torch.nn.Module, optimiser: torch.optim.Optimizer, loss: float, max_norm: float | None
    ) -> float:
        """Clip and step; a non-finite loss or gradient skips the step and is counted. Returns the gradient norm."""
        limit = float("inf") if max_norm is None else max_norm
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit).item()
        if np.isfinite(loss) and np.isfinite(norm):
            optimiser.step()
        else:
            self.skipped += 1
        # Gradients of one network at a time: those of a large one are as much as its weights.
        optimiser.zero_grad(set_to_none=True)
        return norm


def _adamw(model: torch.nn.Module, settings: PolicySettings | CriticSettings) -> torch.optim.AdamW:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay, fused=False, foreach=True)


def _means(records: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([record[name] for record in records])) for name in records[0]} if records else {}


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
