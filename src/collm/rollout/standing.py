"""What a state is as numbers in a fixed order: the eyes of critics that read no text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collm.rollout.referee import begin, execute
from collm.tasks.inside import inside_task
from collm.tasks.protocol import JointAction, Problem, Task


class Standing:
    """Reads ``Task.standing`` of any state of a task: its numbers, and which turn comes next.

    Which names there are is learned from the state in which an episode begins and from the one that follows when nobody
    does anything. A state that lacks one of them has 0 there; other names are not read.
    """

    def __init__(self, task: Task) -> None:
        """Raises TaskError if the task cannot say how its first problem stands."""
        self.task = task
        problem = task.problems("train")[0]
        state = begin(task, problem, 0).state
        nothing = [task.empty_action(agent) for agent in range(task.agents)]
        later = execute(task, problem, state, nothing, 0)[0].state
        self.names = self._names(problem, state, later)

    def _names(self, problem: Problem, state: Any, later: Any) -> tuple[str, ...]:
        return tuple({**self._standing(problem, state, 0), **self._standing(problem, later, 1)})

    @property
    def width(self) -> int:
        """Numbers per state."""
        return len(self.names) + self.task.turns + 1

    def columns(self, agents: Sequence[int]) -> slice:
        """Which of the numbers a critic of these agents reads."""
        return slice(0, self.width)

    def of(self, problem: Problem, state: Any, turn: int) -> np.ndarray:
        """(width,): the named numbers, then 1 at the place of the turn that comes next (0 to the turn limit)."""
        return self._row(self._standing(problem, state, turn), turn)

    def lived(self, problem: Problem, seed: int, actions: Sequence[JointAction], state: Any) -> np.ndarray:
        """(width,): the same of an episode's state behind these joint actions."""
        return self.of(problem, state, len(actions))

    def _row(self, told: Mapping[str, float], turn: int) -> np.ndarray:
        numbers, place = [told.get(name, 0.0) for name in self.names], np.zeros(self.task.turns + 1)
        place[turn] = 1.0
        return np.concatenate([numbers, place])

    def _standing(self, problem: Problem, state: Any, turn: int) -> dict[str, float]:
        with inside_task(self.task, problem, turn):
            return _finite("standing", self.task.standing(problem, state))


class OwnStanding(Standing):
    """The same as far as each agent's own history goes, for critics of one agent.

    Of agent i: ``Task.standing`` of the state to which its actions alone would have led, the others doing nothing, and the
    numbers that its observations give of the true one (``Task.observed_standing``). What its partners did is in there only
    where its observations say so.
    """

    def _names(self, problem: Problem, state: Any, later: Any) -> tuple[str, ...]:
        observed: dict[str, float] = {}
        for agent in range(self.task.agents):
            observed |= self._observed(problem, state, agent, 0) | self._observed(problem, later, agent, 1)
        return (*super()._names(problem, state, later), *observed)

    @property
    def width(self) -> int:
        """Numbers per state: those of all agents, one behind the other."""
        return self.task.agents * super().width

    def columns(self, agents: Sequence[int]) -> slice:
        (agent,) = agents
        return slice(agent * super().width, (agent + 1) * super().width)

    def lived(self, problem: Problem, seed: int, actions: Sequence[JointAction], state: Any) -> np.ndarray:
        """(width,): for every agent its named numbers and the turn that comes next."""
        turn, found = len(actions), []
        for agent in range(self.task.agents):
            alone = self._standing(problem, self._alone(problem, seed, actions, agent), turn)
            found.append(self._row({**alone, **self._observed(problem, state, agent, turn)}, turn))
        return np.concatenate(found)

    def _alone(self, problem: Problem, seed: int, actions: Sequence[JointAction], agent: int) -> Any:
        """The state to which an agent's actions lead if nobody else does anything, as long as that episode lasts."""
        state = begin(self.task, problem, seed).state
        for turn, joint in enumerate(actions):
            own = [text if at == agent else self.task.empty_action(at) for at, text in enumerate(joint)]
            step, _ = execute(self.task, problem, state, own, turn)
            state = step.state
            if step.ended:
                break
        return state

    def _observed(self, problem: Problem, state: Any, agent: int, turn: int) -> dict[str, float]:
        with inside_task(self.task, problem, turn):
            told = _finite("observed_standing", self.task.observed_standing(problem, state, agent))
        return {f"observed: {name}": value for name, value in told.items()}


def _finite(what: str, told: Mapping[str, float]) -> dict[str, float]:
    """The numbers as such. Raises ValueError if one is not finite."""
    found = {name: float(value) for name, value in told.items()}
    for name, value in found.items():
        if not math.isfinite(value):
            raise ValueError(f"{what}: {name} is {value}; expected finite numbers")
    return found
