"""What the task says of a state, as numbers in a fixed order: the eyes of a critic that reads states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from collm.rollout.referee import begin, execute
from collm.tasks.inside import inside_task
from collm.tasks.protocol import Problem, Task


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
        self.names = tuple({**self._told(problem, state, 0), **self._told(problem, later, 1)})

    @property
    def width(self) -> int:
        """Numbers per state."""
        return len(self.names) + self.task.turns + 1

    def of(self, problem: Problem, state: Any, turn: int) -> np.ndarray:
        """(width,): the named numbers, then 1 at the place of the turn that comes next (0 to the turn limit)."""
        told = self._told(problem, state, turn)
        found = np.zeros(self.width)
        found[: len(self.names)] = [told.get(name, 0.0) for name in self.names]
        found[len(self.names) + turn] = 1.0
        return found

    def _told(self, problem: Problem, state: Any, turn: int) -> Mapping[str, float]:
        with inside_task(self.task, problem, turn):
            told = {name: float(value) for name, value in self.task.standing(problem, state).items()}
            for name, value in told.items():
                if not math.isfinite(value):
                    raise ValueError(f"standing: {name} is {value}; expected finite numbers")
            return told
