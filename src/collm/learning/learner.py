"""One update step: policies by their surrogate, critics by their targets, each with an optimiser of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from collm.credit import Credit, per_decision
from collm.credit.estimators import reach
from collm.learning.critic import Critic, Values
from collm.learning.gradient_signal import GradientSignal
from collm.learning.policy_update import PolicyUpdate
from collm.learning.reference import reference_logprobs
from collm.learning.settings import CriticSettings, PolicySettings
from collm.learning.side_by_side import side_by_side
from collm.machine import large_products, return_freed_memory
from collm.memory import needed_for
from collm.models.base import SMALL
from collm.models.policy import Policy
from collm.randomness import Key, generator
from collm.rollout.forest import Forest

T = TypeVar("T")
Record = dict[str, float]
"""The metrics of one optimiser step."""


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
        threads: int = 1,
    ) -> None:
        """``references`` are the agents' frozen policies that a KL is taken to, if one is. With more than one of
        ``threads`` the networks, which must share nothing then, are updated side by side."""
        self.threads = threads
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
    @large_products()
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
    @large_products()
    def reference_logprobs(self, forest: Forest) -> list[np.ndarray] | None:
        """log π_ref of every response's tokens; None without references."""
        if self.references is None:
            return None
        return reference_logprobs(self.references, forest, self.temperature, self.token_budget)

    @needed_for("learning")
    @large_products()
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
        jobs: list[tuple[str, Callable[[], list[Record]]]] = []
        if credit.targets is not None:
            weights = reach(forest)
            for place, critic, columns in self._columns():
                own = credit.targets[:, columns]
                critic.observe(own, weights)
                if not self.heads or not move:
                    job = functools.partial(self._update_critic, place, critic, forest, own, weights, key)
                    jobs.append(("critic", job))
        if move:
            settings, temperature, budget = self.policy_settings, self.temperature, self.token_budget
            before = None
            if settings.importance_cap is not None:
                before = reference_logprobs(self.policies, forest, temperature, budget)
            losses = PolicyUpdate(settings, temperature, budget, forest, credit, reference, before)
            for place in range(len(self.seats)):
                jobs.append(("policy", functools.partial(self._update_policy, place, losses, lr_scale, key)))
        found = side_by_side([job for _, job in jobs], self.threads)
        for critic in self.critics:
            critic.follow(update)
        return self._metrics([kind for kind, _ in jobs], found)

    def _metrics(self, kinds: Sequence[str], found: Sequence[list[Record]]) -> dict[str, Any]:
        """Means over all steps of the critics and of the policies; steps that were skipped are counted."""
        metrics: dict[str, Any] = {}
        for kind in dict.fromkeys(kinds):
            records = [record for own, part in zip(kinds, found, strict=True) if own == kind for record in part]
            self.skipped += sum(int(record.pop("skipped")) for record in records)
            metrics[kind] = _means(records)
        return metrics

    def _columns(self) -> Iterator[tuple[int, Critic, slice]]:
        """Every critic with its place and its columns of the team's values."""
        start = 0
        for place, critic in enumerate(self.critics):
            yield place, critic, slice(start, start + critic.outputs)
            start += critic.outputs

    def _update_policy(self, place: int, losses: PolicyUpdate, lr_scale: float, key: tuple[Key, ...]) -> list[Record]:
        """All steps of one policy."""
        settings, optimiser = self.policy_settings, self.policy_optimisers[place]
        policy, agents = self.seats[place]
        records = []
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * lr_scale
        heads = self._heads_of(agents, losses)
        items = _together(losses.forest, losses.credit, agents, settings.minibatches)
        per_step = losses.episodes(agents) / max(1, min(settings.minibatches, len(items)))
        signal = GradientSignal() if settings.gradient_signal else None
        for step, part in enumerate(
            _minibatches(items, settings.epochs, settings.minibatches, (*key, "policy", place))
        ):
            batch = [decision for item in part for decision in item]
            seen_by = signal if step < settings.minibatches else None
            records.append(self._policy_step(policy, optimiser, losses, batch, per_step, heads, seen_by))
        policy.version += 1
        _give_back(policy.own)
        for record in records:
            # Later steps see what the earlier ones moved, not how the engine differs.
            record["engine_kl"] = records[0]["engine_kl"]
            if signal is not None and signal.share is not None:
                record["gradient_signal"] = signal.share
        return records

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
        signal: GradientSignal | None,
    ) -> Record:
        """One optimiser step on the mean surrogate over episodes: the responses of the batch, per ``episodes``."""
        tally = losses.backward(policy, batch, episodes, heads)
        step = _step(policy.own, optimiser, tally.loss, self.policy_settings.max_grad_norm, signal)
        for agent, (critic, _) in heads.items():
            head = _step(critic.model, self.critic_optimisers[agent], tally.loss, self.critic_settings.max_grad_norm)
            step["skipped"] += head["skipped"]
        return {**tally.record(losses.reference is not None), **step}

    def _update_critic(
        self, place: int, critic: Critic, forest: Forest, targets: np.ndarray, weights: np.ndarray, key: tuple[Key, ...]
    ) -> list[Record]:
        """All steps of one critic; ``targets`` (nodes, its values)."""
        settings, optimiser = self.critic_settings, self.critic_optimisers[place]
        records = []
        todo = [reading for reading in critic.read(forest) if reading.places]
        for part in _minibatches(todo, settings.epochs, settings.minibatches, (*key, "critic", place)):
            count = sum(weights[reading.nodes].sum() for reading in part) * critic.outputs
            total = 0.0
            for loss in critic.losses(part, targets, weights, self.token_budget):
                (settings.coefficient * loss / count).backward()
                total += loss.item() / count
            records.append({"loss": total, **_step(critic.model, optimiser, total, settings.max_grad_norm)})
        _give_back(critic.model)
        return records


def _step(
    model: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: float,
    max_norm: float | None,
    signal: GradientSignal | None = None,
) -> Record:
    """Clip and step; a loss or gradient that is not finite skips the step."""
    limit = float("inf") if max_norm is None else max_norm
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit).item()
    finite = bool(np.isfinite(loss) and np.isfinite(norm))
    if finite:
        if signal is not None:
            signal.see(model, norm, max_norm)
        optimiser.step()
    # Gradients of a large network are as much as its weights: they do not stay.
    optimiser.zero_grad(set_to_none=True)
    return {"grad_norm": norm, "skipped": float(not finite)}


def _give_back(network: torch.nn.Module) -> None:
    """Where gradients are much memory, the next network has what this one left."""
    if sum(p.numel() for p in network.parameters() if p.requires_grad) > SMALL:
        return_freed_memory()


def _adamw(model: torch.nn.Module, settings: PolicySettings | CriticSettings) -> torch.optim.AdamW:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)


def _means(records: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for record in records for name in record)
    return {name: float(np.mean([record[name] for record in records if name in record])) for name in names}


def _together(forest: Forest, credit: Credit, agents: Sequence[int], minibatches: int) -> list[list[int]]:
    """The agents' decisions that count, in parts that stay in one minibatch.

    A history with all its turns, because it is read in one pass. Where there are groups, and two problems at least for
    each minibatch, a whole problem: its histories begin alike, and its advantages are differences within it.
    """
    problem = np.zeros(len(forest.decisions), dtype=np.int64)
    problem[forest.decision] = forest.problem[:, None]
    counted = [d for d, one in enumerate(forest.decisions) if one.agent in agents and credit.weights[d] > 0]
    histories: dict[int, list[int]] = {}
    problems: dict[int, list[int]] = {}
    for index in counted:
        histories.setdefault(forest.decisions[index].transcript, []).append(index)
        problems.setdefault(int(problem[index]), []).append(index)
    whole = len(problems) < len(histories) and len(problems) >= 2 * minibatches and len(agents) == 1
    return list((problems if whole else histories).values())


def _minibatches(items: list[T], epochs: int, parts: int, key: tuple[Key, ...]) -> Iterator[list[T]]:
    """Every item once per epoch, in ``parts`` random parts of about equal size."""
    for epoch in range(epochs):
        order = generator(*key, epoch).permutation(len(items)) if parts > 1 else np.arange(len(items))
        for part in np.array_split(order, parts):
            if len(part):
                yield [items[i] for i in part]
