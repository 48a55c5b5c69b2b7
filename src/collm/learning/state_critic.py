"""A critic that reads numbers about the task's state instead of the agents' histories."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from collm.learning.critic import Critic
from collm.learning.readings import Reading, nodes_of_paths
from collm.learning.settings import CriticSettings
from collm.models.state_value import StateModel
from collm.randomness import Key
from collm.rollout.forest import Forest
from collm.rollout.standing import Standing


@dataclasses.dataclass(frozen=True)
class StateReading(Reading):
    """A path as the states it went through; a place is a row of ``states``."""

    states: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))
    """(places, numbers)."""


class StateCritic(Critic):
    """V(s_t): values of the state in which a joint action is taken, as ``Standing`` tells it; with an ``OwnStanding``, of
    what one agent knows of it.

    A state is less than a joint history: two histories that lead to one state have one value here, whatever the agents
    remember. As a baseline it is one all the same, because the state is settled before the joint action is drawn.
    """

    def __init__(
        self,
        standing: Standing,
        settings: CriticSettings,
        agents: Sequence[int],
        outputs: int,
        device: torch.device,
        key: tuple[Key, ...],
    ) -> None:
        """For states as ``standing`` tells them; weights are drawn from ``key``."""
        self.standing, self._columns = standing, standing.columns(agents)
        width = self._columns.stop - self._columns.start
        model = StateModel(width, outputs, settings.normalise, key).to(device)
        super().__init__(model, settings, agents, device)

    def read(self, forest: Forest) -> list[Reading]:
        return [self._reading(forest, nodes) for _, nodes in nodes_of_paths(forest)]

    def _reading(self, forest: Forest, nodes: list[int]) -> StateReading:
        if forest.states is None or forest.beyond is None:
            raise ValueError("this forest was played without keeping what the task says of its states.")
        last, count = nodes[-1], len(nodes)
        return StateReading(
            tokens=[],
            places=list(range(count)),
            nodes=nodes,
            bootstrap=count if forest.truncated[last] else None,
            states=np.concatenate([forest.states[nodes], forest.beyond[[last]]])[:, self._columns],
        )

    def states(self, model: Any, batch: Sequence[Any], places: Sequence[tuple[int, int]]) -> torch.Tensor:
        rows = np.stack([batch[row].states[place] for row, place in places])
        return model.states(torch.from_numpy(rows).float().to(self.device))
