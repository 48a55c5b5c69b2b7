"""Jobs, the episodes they become, and the paths along which episodes grow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from collm.errors import ConfigError
from collm.rollout.forest import Transcript
from collm.tasks.protocol import Observation, Problem

if TYPE_CHECKING:
    from collm.models.policy import Policy


@dataclasses.dataclass(frozen=True)
class History:
    """What some agents saw and did up to a turn: one agent's own history h_i,t, or with all agents the joint one."""

    agents: tuple[int, ...]
    observations: tuple[tuple[Observation, ...], ...]
    """(t + 1, its agents)."""
    responses: tuple[tuple[tuple[int, ...], ...], ...]
    """(t, its agents): the tokens of each response."""

    @property
    def turn(self) -> int:
        """t, the turn that comes next."""
        return len(self.responses)

    def given(self, turn: int) -> dict[int, tuple[int, ...]]:
        """Agent → its response at this turn, as far as the history goes."""
        return dict(zip(self.agents, self.responses[turn], strict=True)) if turn < self.turn else {}

    def allows(self, observations: tuple[Observation, ...], turn: int) -> bool:
        """Whether its agents see at this turn what they saw."""
        return turn > self.turn or tuple(observations[agent] for agent in self.agents) == self.observations[turn]


@dataclasses.dataclass(frozen=True)
class Job:
    """One episode, or one tree, to play. ``sample`` numbers those of one problem; its draws depend on nothing else."""

    problem: Problem
    group: int
    """Index of the problem within the rollout."""
    sample: int = 0
    history: History | None = None
    """What is lived through again first: its agents give these responses while the others play, and the episode is cut
    where one of its agents sees anything else."""


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
    cut: bool = False
    """Whether it ended from outside: the task cut it, the next turn might not fit, or it left the job's history."""

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

    def given(self) -> dict[int, tuple[int, ...]]:
        """Agent → the response that the job's history gives it at the turn that comes next."""
        history = self.episode.job.history
        return history.given(self.turn) if history else {}

    def off_history(self, observations: tuple[Observation, ...], turn: int) -> bool:
        """Whether what the agents see at this turn is not what the job's history says."""
        history = self.episode.job.history
        return history is not None and not history.allows(observations, turn)

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
