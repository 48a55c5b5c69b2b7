"""Critics: values of all turns of an episode, from text or from the agents' own caches, and what they learn from."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from collm.errors import ConfigError
from collm.learning.batching import micro_batches, padded
from collm.learning.readings import Reading, Script, in_time_order, one_behind_the_other
from collm.learning.settings import CriticSettings
from collm.models.policy import Policy
from collm.models.value import ValueModel
from collm.rollout.forest import Forest


@dataclasses.dataclass(frozen=True)
class Values:
    """What critics say about a forest. All arrays (nodes, values), in the task's units."""

    values: np.ndarray
    """V(h_t) at each node, before its joint action."""
    bootstraps: np.ndarray
    """V at the observation kept behind a truncated node, 0 elsewhere."""
    action_values: np.ndarray | None
    """Q(h_t, a_t), of critics that have it."""


class Critic(abc.ABC):
    """A value model with its way of reading a forest, and its slow copy if it makes targets with one."""

    model: Any
    """An ``nn.Module`` with a ``head`` (ValueHead), ``copy`` and ``follow``."""

    def __init__(self, model: Any, settings: CriticSettings, agents: Sequence[int], device: torch.device) -> None:
        self.model = model.eval()
        self.settings = settings
        self.agents = tuple(agents)
        """The agents whose histories it reads."""
        self.device = device
        self.slow: Any = None if settings.target == "none" else model.copy()
        """The target network."""

    @property
    def outputs(self) -> int:
        """Columns of its values: 1 for the team (or one agent), or one per agent."""
        return int(self.model.head.outputs)

    @property
    def has_actions(self) -> bool:
        return self.settings.kind == "q"

    @abc.abstractmethod
    def read(self, forest: Forest) -> list[Reading]:
        """What this critic sees of a forest."""

    @abc.abstractmethod
    def states(self, model: Any, batch: Sequence[Reading], places: Sequence[tuple[int, int]]) -> torch.Tensor:
        """(places, width): the model's states at (reading of the batch, position) places."""

    @torch.no_grad()
    def values(self, forest: Forest, token_budget: int, slow: bool = False) -> Values:
        """Values of all nodes, from the critic or from its slow copy."""
        model = self.slow if slow else self.model
        found = [np.zeros((len(forest), self.outputs)) for _ in range(3)]
        values, bootstraps, action_values = found
        todo = self.read(forest)
        for group in micro_batches([len(reading.tokens) for reading in todo], token_budget):
            batch = [todo[i] for i in group]
            before, behind = self._predict(model, batch, [reading.spots for reading in batch])
            before = model.head.in_units(before).cpu().numpy()
            cursor = 0
            for reading in batch:
                count = len(reading.places)
                values[reading.nodes[:count]] = before[cursor : cursor + count]
                cursor += count
                if reading.bootstrap is not None:
                    bootstraps[reading.nodes[-1]] = before[cursor]
                    cursor += 1
            if behind is not None:
                nodes = [node for reading in batch for node in reading.nodes[: len(reading.acted)]]
                action_values[nodes] = model.head.in_units(behind).cpu().numpy()
        return Values(values, bootstraps, action_values if self.has_actions else None)

    def losses(
        self, todo: Sequence[Reading], targets: np.ndarray, weights: np.ndarray, token_budget: int
    ) -> Iterator[torch.Tensor]:
        """Weighted sums of squared errors of normalised values (V, and Q on the same targets), micro-batch by micro-batch.

        ``targets`` (nodes, values), ``weights`` (nodes,).
        """
        head = self.model.head
        for group in micro_batches([len(reading.tokens) for reading in todo], token_budget):
            batch = [todo[i] for i in group]
            nodes = [node for reading in batch for node in reading.nodes]
            wanted = head.in_norm(torch.from_numpy(targets[nodes]).to(self.device))
            before, behind = self._predict(self.model, batch, [reading.places for reading in batch])
            share = torch.from_numpy(weights[nodes]).float().to(self.device)[:, None]
            error = (share * (before - wanted).square()).sum()
            yield error if behind is None else error + (share * (behind - wanted).square()).sum()

    def _predict(
        self, model: Any, batch: Sequence[Reading], spots: Sequence[Sequence[int]]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Normalised V at these positions of each reading, and Q behind the actions where the readings have them."""
        before = [(row, place) for row, places in enumerate(spots) for place in places]
        behind = [(row, place) for row, reading in enumerate(batch) for place in reading.acted]
        states = self.states(model, batch, [*before, *behind])
        actions = model.head(states[len(before) :], action=True) if behind else None
        return model.head(states[: len(before)]), actions

    def observe(self, targets: np.ndarray, weights: np.ndarray) -> None:
        """Move the running statistics of the targets (nodes, values), before learning from them."""
        self.model.head.observe(torch.from_numpy(targets).to(self.device), torch.from_numpy(weights).to(self.device))

    def follow(self, update: int) -> None:
        """After an update: the slow copy catches up, as the settings say. ``update`` counts from 0."""
        if self.settings.target == "polyak":
            self.slow.follow(self.model, self.settings.target_rate)
        elif self.settings.target == "hard" and (update + 1) % self.settings.target_every == 0:
            self.slow.follow(self.model, 1.0)


class TextCritic(Critic):
    """A critic that reads token histories with a causal backbone, its own or the policy's."""

    def __init__(
        self, policy: Policy, settings: CriticSettings, agents: Sequence[int], team: Sequence[Policy], outputs: int
    ) -> None:
        """``policy`` provides backbone and tokenizer; ``agents`` are the ones of the ``team`` that it reads."""
        shared = settings.backbone == "policy"
        model = ValueModel(policy, outputs, settings.normalise, settings.kind == "q", shared)
        super().__init__(model, settings, agents, policy.device)
        self.context = policy.context
        self.script = Script(policy, team, marked=len(self.agents) > 1)
        self.pad_id = policy.pad_id

    def read(self, forest: Forest) -> list[Reading]:
        lay_out = one_behind_the_other if self.settings.encoding == "prompts" else in_time_order
        found = lay_out(forest, self.agents, self.script, self.has_actions)
        return [one if len(one.tokens) <= self.context else self._shortened(one) for one in found]

    def _shortened(self, reading: Reading) -> Reading:
        """A reading that ends where the context does, if all that lies beyond is the observation behind a cut: the value
        there is of as much of it as fits. Raises ConfigError if more does."""
        kept = max([*reading.places, *reading.acted], default=-1) + 1
        if kept > self.context or reading.bootstrap is None:
            raise ConfigError(
                f"a history has {len(reading.tokens)} tokens, and the critic's model reads {self.context}. "
                "Set a smaller rollout.max_history, sampling.max_new_tokens or number of turns."
            )
        return dataclasses.replace(reading, tokens=reading.tokens[: self.context], bootstrap=self.context - 1)

    def states(self, model: Any, batch: Sequence[Reading], places: Sequence[tuple[int, int]]) -> torch.Tensor:
        tokens = padded([reading.tokens for reading in batch], self.pad_id, self.device)
        index = torch.tensor(places, device=self.device)
        return model.states(tokens, index[:, 0], index[:, 1])
