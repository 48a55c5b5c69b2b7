"""The border to a task's code: what comes back is checked, and what goes wrong says where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from collm.tasks.inside import inside_task
from collm.tasks.protocol import Message, Move, Problem, Start, Step, Task, team_rewards


def begin(task: Task, problem: Problem, seed: int) -> Start:
    """The beginning of an episode. Raises TaskError for an exception in the task or a broken protocol."""
    with inside_task(task, problem, 0):
        start = task.reset(problem, seed)
        _require_observations(start.observations, task.agents)
    return start


def prepare(task: Task, moves: Sequence[Move], turn: int) -> None:
    """Tell the task which steps come next. Raises TaskError for an exception in the task."""
    if moves:
        with inside_task(task, moves[0].problem, turn):
            task.prepare(moves)


def execute(
    task: Task, problem: Problem, state: Any, actions: Sequence[str], turn: int
) -> tuple[Step, tuple[float, ...]]:
    """One env step and its rewards (agents,). Raises TaskError for an exception in the task or a broken protocol."""
    with inside_task(task, problem, turn):
        step = task.step(problem, state, actions)
        return step, _checked_rewards(task, step, turn)


def _checked_rewards(task: Task, step: Step, turn: int) -> tuple[float, ...]:
    """The rewards per agent of a step that keeps the protocol; raises ValueError if it does not."""
    rewards = checked_numbers(team_rewards(step, task.agents), step.reward)
    if len(rewards) != task.agents:
        raise ValueError(f"{len(rewards)} rewards for {task.agents} agents")
    if not step.ended and turn + 1 >= task.turns:
        raise ValueError(f"the episode goes on after its last turn (turns = {task.turns})")
    if not step.terminated:
        _require_observations(step.observations, task.agents)
    return rewards


def checked_numbers(rewards: Sequence[Any], given: Any) -> tuple[float, ...]:
    """Rewards as numbers; raises ValueError if one is not a finite one."""
    if not all(isinstance(reward, (int, float, np.number)) and np.isfinite(reward) for reward in rewards):
        raise ValueError(f"the reward is {given!r:.80}; expected finite numbers")
    return tuple(float(reward) for reward in rewards)


def _require_observations(observations: Any, agents: int) -> None:
    if not isinstance(observations, tuple) or len(observations) != agents:
        raise ValueError(f"expected a tuple of {agents} observations, found {observations!r:.80}")
    if not all(isinstance(one, tuple) and all(isinstance(m, Message) for m in one) for one in observations):
        raise ValueError("every observation must be a tuple of Message")
