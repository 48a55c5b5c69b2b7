"""Teams that are not trained, under protocols: what they score, how long they take and how many tokens they need."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from collm.evaluation.evaluate import Cost, Evaluation, measured, measures, one_each
from collm.models.policy import Policy
from collm.randomness import Key
from collm.rollout.collector import Job, at_once
from collm.rollout.protocols import Protocol
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Play
from collm.rollout.voices import play
from collm.tasks.protocol import Problem, Task


def answers(
    protocol: Protocol,
    task: Task,
    policies: Sequence[Policy],
    problems: Sequence[Problem],
    sampling: Sampling,
    key: tuple[Key, ...],
    measure: str,
    number: int,
) -> np.ndarray:
    """One measure of ``number`` independent episodes of every problem: (problems, number). The first are those of
    :func:`measure`."""
    jobs = [Job(problem, group, sample) for group, problem in enumerate(problems) for sample in range(number)]
    plays = [one for part in at_once(jobs) for one in play(protocol, task, policies, part, sampling, key)]
    return np.array([measures(task, one.episode)[measure] for one in plays]).reshape(len(problems), number)


def measure(
    protocol: Protocol,
    task: Task,
    policies: Sequence[Policy],
    problems: Sequence[Problem],
    sampling: Sampling,
    key: tuple[Key, ...],
) -> Evaluation:
    """Play every problem once under a protocol; ``task`` is in the form that the protocol needs."""
    started = time.perf_counter()
    plays: list[Play] = []
    for part in at_once(one_each(problems)):
        plays += play(protocol, task, policies, part, sampling, key)
    return measured_plays(task, plays, time.perf_counter() - started, sampling)


def measured_plays(task: Task, plays: Sequence[Play], seconds: float, sampling: Sampling) -> Evaluation:
    """The numbers of finished plays, one per problem, that took so many seconds together."""
    tokens = np.array([one.tokens(task.agents) for one in plays])
    cost = Cost(seconds / len(plays), tokens[:, 0], tokens[:, 1], sum(one.silent for one in plays))
    return measured(task, [one.episode for one in plays], sampling, cost)
