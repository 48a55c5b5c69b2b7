"""Episodes of demonstrators: what all crowds of builders have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from collm.tasks.protocol import Conversation, Observation, Problem, Task

LAZY = 0.4
"""Share of builders that stop before their budget is used."""
BLUNDER = 0.02
"""How often any builder writes a line that is not a valid command."""


def draw_effort(random: np.random.Generator) -> float:
    """The share of each turn's budget that a builder uses."""
    return float(random.uniform(0.2, 0.8)) if random.random() < LAZY else 1.0


def play(task: Task, problem: Problem, act: Callable[[int, Any], str], seed: int = 0) -> tuple[list[Conversation], Any]:
    """One episode: each agent's observations and responses, turn by turn, and the last state.

    ``act`` gives an agent's response to a state.
    """
    start = task.reset(problem, seed)
    state = start.state
    observations: tuple[Observation, ...] | None = start.observations
    conversations: list[Conversation] = [[] for _ in range(task.agents)]
    while observations is not None:
        actions = [act(agent, state) for agent in range(task.agents)]
        for conversation, observation, action in zip(conversations, observations, actions, strict=True):
            conversation.append((observation, action))
        step = task.step(problem, state, actions)
        state, observations = step.state, step.observations
    return conversations, state
