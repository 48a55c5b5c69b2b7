"""Jobs, the episodes they become, and the paths along which episodes grow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from collm.errors import ConfigError
from collm.models.policy import Policy
from collm.rollout.forest import Transcript
from collm.tasks.protocol import Observation, Problem


@dataclasses.dataclass(frozen=True)
class Job:
    """One episode, or one tree, to play. ``sample`` numbers those of one problem; its draws depend on nothing else."""

    problem: Problem
    group: int
    """Index of the problem within the rollout."""
    sample: int = 0


@dataclasses.dataclass
class Episode:
    """What happened in one episode, from the root to its end, as the task and people see it."""

    job: Job
    seed: int
    state: Any
    observations: list[tuple[Observation, ...]]
    """(turns, agents): what each agent saw at each turn."""
    actions: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    """(turns, agents): what each agent wrote."""
    rewards: list[tuple[float, ...]] = dataclasses.field(default_factory=list)
    """(turns, agents)."""
    info: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)
    """(turns,): the task's facts about each turn."""
    ended: bool = False

    def copy(self) -> Episode:
        """An episode with the same past; the state is shared, because steps leave the state they get as it is."""
        return dataclasses.replace(
            self,
            observations=list(self.observations),
            actions=list(self.actions),
            rewards=list(self.rewards),
            info=list(self.info),
        )


@dataclasses.dataclass
class Path:
    """An episode in the making: what the task, the models and the forest know of one way from a root to a leaf."""

    number: int
    """Its index among the paths of the forest."""
    episode: Episode
    transcripts: list[Transcript]
    """(agents,)."""
    rows: list[int]
    """(agents,): which row of its policy's session holds each agent's history."""
    node: int = -1
    """The node that was executed last."""
    route: tuple[int, ...] = ()
    """Which joint action led on at each node from the root to here; stays empty in linear rollouts."""

    @property
    def turn(self) -> int:
        """The turn that comes next, from 0."""
        return len(self.episode.actions)

    def branch(self, number: int) -> Path:
        """Another path with the same past and a future of its own."""
        return dataclasses.replace(
            self,
            number=number,
            episode=self.episode.copy(),
            transcripts=[transcript.copy() for transcript in self.transcripts],
            rows=list(self.rows),
        )


def context_limit(policies: Sequence[Policy], max_history: int | None) -> int:
    """Greatest number of tokens of a history that everybody can hold."""
    return min([policy.context for policy in policies] + ([max_history] if max_history else []))


def require_room(problem: Problem, agent: int, opening: int, max_new_tokens: int, limit: int) -> None:
    """Raise ConfigError if a first observation of ``opening`` tokens leaves no room for an answer."""
    if opening + max_new_tokens > limit:
        raise ConfigError(
            f"problem {problem.id!r}: agent {agent}'s first observation has {opening} tokens, and with "
            f"sampling.max_new_tokens = {max_new_tokens} that does not fit into {limit}. "
            "Set a smaller sampling.max_new_tokens, a larger rollout.max_history, or take a model with more context."
        )
