"""What the critics of a team should say at given histories, estimated from continuations, and how far it has moved.

A critic's target is a conditional expectation, E[G_t | history]. The history is lived through again: its agents give the
responses that they gave, everybody else plays, and an attempt counts if those agents see what they saw. Agents draw
independently given their own histories, so that giving an agent its responses is the same as conditioning on them, and
the mean return-to-go of the attempts that count is an unbiased estimate

* with all agents in the history, of V(h_t) = E[G_t | h_t], which CC has to follow;
* with one agent in it, of V_i(h_i,t) = E[G_t | h_i,t] = Σ P(h_−i,t | h_i,t) V(h_t), which DC has to follow. The partners'
  pasts are drawn by the present partners, so the estimate moves with them as it should.

Both are given the problem as well. What chance a task has is drawn anew in every attempt and conditioned on like the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np

from collm.models.policy import Policy
from collm.options import Range
from collm.randomness import Key
from collm.rollout.collector import Episode, History, Job, Rollout, play
from collm.rollout.sampling import Sampling
from collm.tasks.protocol import Problem, Task


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is played behind a history."""

    continuations: Annotated[int, Range(2)]
    """Enough of them for one history."""
    attempts: Annotated[int, Range(2)]
    """No more than this many, whether they count or not."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """A history at which targets are measured."""

    problem: Problem
    place: int
    """Number of the episode."""
    sample: int
    """Its number among those of the problem. Histories of a problem are played on with draws of their own."""
    history: History


@dataclasses.dataclass(frozen=True)
class Target:
    """What is known of the value of one history under one team."""

    returns: np.ndarray
    """(continuations, agents): returns-to-go from the history's turn on."""
    attempts: int
    cut: int
    """Continuations that were cut from outside, whose return is what they had earned by then."""

    @property
    def known(self) -> bool:
        """Whether there is a mean with a standard error."""
        return len(self.returns) > 1


@dataclasses.dataclass(frozen=True)
class Views:
    """What is known of the values of the same histories, as CC and as DC see them."""

    joint: list[Target]
    own: list[list[Target]]
    """(histories, agents)."""


@dataclasses.dataclass(frozen=True)
class Histories:
    """All that the teams of some episodes met."""

    joint: list[Probe]
    own: list[tuple[Probe, ...]]
    """(histories, agents): each agent's part of it."""

    def views(self, measure: Callable[[Sequence[Probe]], list[Target]]) -> Views:
        """The targets of both kinds of critics, of which ``measure`` knows one per probe."""
        joint = measure(self.joint)
        # Attempts at a first turn give nobody a response: those of one history are, draw by draw, those of all.
        same = [
            probe.history.turn == 0 and len(known.returns) == known.attempts
            for probe, known in zip(self.joint, joint, strict=True)
        ]
        rest = iter(measure([probe for own, known in zip(self.own, same, strict=True) if not known for probe in own]))
        own = [
            [whole if known else next(rest) for _ in parts]
            for whole, known, parts in zip(joint, same, self.own, strict=True)
        ]
        return Views(joint, own)


def met(rollout: Rollout, agents: int) -> Histories:
    """Those at every turn of every episode."""
    own = (probes(rollout, [agent]) for agent in range(agents))
    return Histories(probes(rollout, range(agents)), list(zip(*own, strict=True)))


def probes(rollout: Rollout, agents: Sequence[int]) -> list[Probe]:
    """The histories of these agents at every turn of every episode."""
    return [
        Probe(episode.job.problem, path, episode.job.sample, rollout.history(path, tuple(agents), turn))
        for path, episode in enumerate(rollout.episodes)
        for turn in range(len(episode.actions))
    ]


def targets(
    task: Task,
    policies: Sequence[Policy],
    wanted: Sequence[Probe],
    effort: Effort,
    sampling: Sampling,
    gamma: float,
    key: tuple[Key, ...],
    max_history: int | None = None,
) -> list[Target]:
    """The targets at these histories under this team.

    Attempts go on in rounds until enough count. That depends on what the agents saw up to the history and not on
    returns behind it, so stopping early leaves means unbiased.
    """
    returns: list[list[np.ndarray]] = [[] for _ in wanted]
    attempts, cut = np.zeros(len(wanted), dtype=int), np.zeros(len(wanted), dtype=int)
    for first in range(0, effort.attempts, effort.continuations):
        tries = range(first, min(first + effort.continuations, effort.attempts))
        waiting = [place for place, found in enumerate(returns) if len(found) < effort.continuations]
        jobs = [
            Job(wanted[p].problem, p, wanted[p].sample * effort.attempts + attempt, wanted[p].history)
            for p in waiting
            for attempt in tries
        ]
        attempts[waiting] += len(tries)
        for episode in play(task, policies, jobs, sampling, key, max_history):
            turn = wanted[episode.job.group].history.turn
            if len(episode.actions) > turn:
                returns[episode.job.group].append(_return_to_go(episode, turn, gamma))
                cut[episode.job.group] += episode.cut
    return [
        Target(np.array(found).reshape(-1, task.agents), int(tried), int(ends))
        for found, tried, ends in zip(returns, attempts, cut, strict=True)
    ]


def _return_to_go(episode: Episode, turn: int, gamma: float) -> np.ndarray:
    """(agents,)."""
    rewards = np.array(episode.rewards[turn:])
    return np.asarray(gamma ** np.arange(len(rewards)) @ rewards)


def squared_change(before: Target, after: Target) -> np.ndarray:
    """(agents,): an unbiased estimate of the squared change of an expectation; it may be negative.

    The squared difference of two means of n and m independent returns is too large by their squared standard errors,
    E (x̄ − ȳ)² = (E x − E y)² + Var x/n + Var y/m, which are subtracted. x̄² − s²/n is the mean of x_k·x_l over all pairs
    k ≠ l, hence also of x̄_A·x̄_B over all ways to halve the sample into A and B.
    """
    change = after.returns.mean(0) - before.returns.mean(0)
    noise = sum(one.returns.var(0, ddof=1) / len(one.returns) for one in (before, after))
    return np.asarray(change**2 - noise)
