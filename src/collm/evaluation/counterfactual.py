"""What a team loses without one of its agents: its episodes again, with that agent's actions replaced by empty ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from collm.rollout.path import Episode
from collm.rollout.referee import begin, execute, inside_task, prepare
from collm.tasks.protocol import Move, Task, idle


@dataclasses.dataclass
class _Replay:
    """An episode that is played again without one agent."""

    episode: Episode
    agent: int
    state: Any
    ended: bool = False

    def move(self, task: Task, turn: int) -> Move:
        return Move(self.episode.job.problem, self.state, idle(task, self.episode.actions[turn], self.agent))


def counterfactual_losses(task: Task, episodes: Sequence[Episode]) -> np.ndarray:
    """(episodes, agents): what each final loses when each agent in turn had done nothing."""
    replays = [
        _Replay(episode, agent, begin(task, episode.job.problem, episode.seed).state)
        for episode in episodes
        for agent in range(task.agents)
    ]
    for turn in range(max(len(episode.actions) for episode in episodes)):
        live = [one for one in replays if not one.ended and turn < len(one.episode.actions)]
        moves = [one.move(task, turn) for one in live]
        prepare(task, moves, turn)
        for one, move in zip(live, moves, strict=True):
            step, _ = execute(task, move.problem, move.state, move.actions, turn)
            one.state, one.ended = step.state, step.ended
    return np.array([_loss(task, one) for one in replays]).reshape(len(episodes), task.agents)


def _loss(task: Task, replay: _Replay) -> float:
    episode = replay.episode
    with inside_task(task, episode.job.problem, len(episode.actions)):
        return task.final(episode.job.problem, episode.state) - task.final(episode.job.problem, replay.state)
