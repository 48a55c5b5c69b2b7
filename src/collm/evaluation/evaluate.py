"""A team's performance on given problems: one row per problem, so that two teams can be compared pair by pair."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collm.evaluation.counterfactual import counterfactual_losses
from collm.evaluation.stats import paired_interval
from collm.models.policy import Policy
from collm.randomness import Key
from collm.rollout.collector import Episode, Job, at_once, collect
from collm.rollout.engines import HF, Engine
from collm.rollout.referee import inside_task
from collm.rollout.sampling import Sampling
from collm.tasks.protocol import Problem, Task


@dataclasses.dataclass(frozen=True)
class Cost:
    """What it took to play some problems."""

    seconds: float
    """Wall-clock seconds per problem: all problems are played together, and their time is divided by their number."""
    read: np.ndarray
    """(problems, agents): prompt tokens that an agent read."""
    written: np.ndarray
    """(problems, agents): tokens that an agent wrote, drafts included."""
    silent: int = 0
    """Answers that were left out, because an agent's history was full."""

    def summary(self) -> dict[str, Any]:
        """Means over problems."""
        return {
            "seconds_per_problem": self.seconds,
            "tokens_read": self.read.mean(0).tolist(),
            "tokens_written": self.written.mean(0).tolist(),
            "silent": self.silent,
        }


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One team on some problems with one way of decoding."""

    decoding: str
    """``sampled`` at the training temperature, or ``greedy``."""
    problems: tuple[str, ...]
    rows: Mapping[str, np.ndarray]
    """Measure → (problems,): return, final, score, paper_score and every component of the task."""
    lost: np.ndarray
    """(problems, agents): R with everyone minus R with that agent's actions replaced by empty ones."""
    gained: np.ndarray
    """(problems,): R − R_0."""
    episodes: tuple[Episode, ...]
    cost: Cost

    @property
    def contribution(self) -> list[float]:
        """Per agent: the share of the team's gain over the empty action that is lost without it (ratio of means)."""
        return contribution(self.lost, self.gained)

    def mean(self, measure: str) -> float:
        return float(self.rows[measure].mean())

    def summary(self) -> dict[str, Any]:
        """Means over problems, for reports and logs: what is the same whenever it is measured again."""
        return {
            "decoding": self.decoding,
            "problems": len(self.problems),
            **{name: float(values.mean()) for name, values in self.rows.items()},
            "contribution": self.contribution,
        }

    def in_full(self) -> dict[str, Any]:
        """The summary, the score's bootstrap interval over problems, and what play took."""
        return {**self.summary(), "score_ci95": list(paired_interval(self.rows["score"])), **self.cost.summary()}


def contribution(lost: np.ndarray, gained: np.ndarray) -> list[float]:
    """(agents,) from (problems, agents) and (problems,); zeros where the team gained nothing."""
    total = float(gained.sum())
    return [float(value) / total if total > 1e-9 else 0.0 for value in lost.sum(0)]


def evaluate(
    task: Task,
    policies: Sequence[Policy],
    problems: Sequence[Problem],
    sampling: Sampling,
    key: tuple[Key, ...],
    max_history: int | None = None,
    engine: Engine = HF,
) -> Evaluation:
    """Play every problem once. The same key gives two teams the same random numbers, which pairs them. As in training,
    episodes whose next turn might not fit into ``max_history`` tokens are cut."""
    started = time.perf_counter()
    episodes: list[Episode] = []
    read, written = [], []
    for part in at_once(one_each(problems)):
        rollout = collect(task, policies, part, sampling, key, max_history, engine=engine)
        episodes += rollout.episodes
        tokens = rollout.forest.tokens()
        read.append(tokens[0])
        written.append(tokens[1])
    seconds = (time.perf_counter() - started) / len(problems)
    return measured(task, episodes, sampling, Cost(seconds, np.concatenate(read), np.concatenate(written)))


def one_each(problems: Sequence[Problem]) -> list[Job]:
    """Every problem once."""
    return [Job(problem, group) for group, problem in enumerate(problems)]


def measured(task: Task, episodes: Sequence[Episode], sampling: Sampling, cost: Cost) -> Evaluation:
    """The numbers of finished episodes, one per problem."""
    rows = [measures(task, episode) for episode in episodes]
    return Evaluation(
        decoding="greedy" if sampling.temperature == 0 else "sampled",
        problems=tuple(episode.job.problem.id for episode in episodes),
        rows={name: np.array([row[name] for row in rows]) for name in rows[0]},
        lost=counterfactual_losses(task, episodes),
        gained=np.array(
            [row["final"] - task.episode_floor(e.job.problem, e.state) for row, e in zip(rows, episodes, strict=True)]
        ),
        episodes=tuple(episodes),
        cost=cost,
    )


def measures(task: Task, episode: Episode) -> dict[str, float]:
    """All numbers of one finished episode."""
    problem = episode.job.problem
    with inside_task(task, problem, len(episode.actions)):
        return _measured(task, problem, episode)


def _measured(task: Task, problem: Problem, episode: Episode) -> dict[str, float]:
    state = episode.state
    return {
        **task.components(problem, state),
        "return": float(np.sum([np.mean(rewards) for rewards in episode.rewards])),
        "final": task.final(problem, state),
        "score": task.score(problem, state),
        **{f"score_{name}": task.under(name).score(problem, state) for name in task.profiles},
        "paper_score": task.paper_score(problem, state),
        "turns": float(len(episode.actions)),
    }
