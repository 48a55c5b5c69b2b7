"""Estimators compared on one pool of episodes: everything that a gradient estimate needs is known once per response."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from collm.credit import Credit, Evidence, returns_to_go
from collm.credit.estimators import first_nodes
from collm.rollout.forest import Forest


@dataclasses.dataclass(frozen=True)
class Pool:
    """Linear episodes of one fixed team: as many of each problem, and problem after problem."""

    forest: Forest
    scores: np.ndarray
    """(decisions, width): ∇ℓ of each response, in full or as a sketch."""
    episodes: int
    """Per problem."""
    gamma: float
    values: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """Values and bootstraps, (nodes, columns) each, by what the critics read: joint, own."""
    greedy: np.ndarray | None = None
    """(nodes, agents): return-to-go of the greedy episode on the node's problem."""
    greedy_steps: float = 0.0
    """Env steps of a greedy episode, on average."""

    @property
    def problems(self) -> int:
        return self.forest.paths // self.episodes

    @property
    def steps(self) -> float:
        """Env steps of an episode, on average."""
        return len(self.forest) / self.forest.paths


@dataclasses.dataclass(frozen=True)
class Estimator:
    """What is to be compared."""

    name: str
    credit: Callable[[Evidence], Credit]
    critic: str | None = None
    lam: float | None = None
    group: int | None = None
    """Episodes that are compared with each other; None for estimators that look at one episode at a time."""
    greedy: bool = False


@dataclasses.dataclass(frozen=True)
class Gradients:
    """Many independent estimates by one estimator."""

    estimates: np.ndarray
    """(problems, estimates, numbers)."""
    env_steps: float
    """What one estimate costs."""
    advantages: np.ndarray
    """(turns,): variance of the advantage, mean over agents."""


def gradients(pool: Pool, estimator: Estimator, partitions: int, draw: np.random.Generator) -> Gradients:
    """Every estimate that the pool holds: from single episodes, or from groups over several random partitions."""
    size = estimator.group or 1
    rounds = partitions if size > 1 else 1
    estimates, spreads = [], []
    for _ in range(rounds):
        groups = _partition(pool, size, draw)
        credit = estimator.credit(_evidence(pool, estimator, groups))
        by_episode = _by_episode(pool, credit)
        estimates.append(_by_group(pool, by_episode, groups, size))
        used = np.where(groups[pool.forest.path[first_nodes(pool.forest)]] < 0, 0.0, credit.weights)
        spreads.append(_advantage_variance(pool.forest, dataclasses.replace(credit, weights=used)))
    extra = pool.greedy_steps if estimator.greedy else 0.0
    return Gradients(np.concatenate(estimates, 1), size * pool.steps + extra, np.mean(spreads, axis=0))


def _partition(pool: Pool, size: int, draw: np.random.Generator) -> np.ndarray:
    """(paths,): each problem's episodes in random groups of this size; −1 for those that are left over."""
    per_problem = pool.episodes // size
    places = np.full(pool.episodes, -1)
    places[: per_problem * size] = np.arange(per_problem).repeat(size)
    return np.concatenate(
        [np.where((mixed := draw.permutation(places)) < 0, -1, mixed + p * per_problem) for p in range(pool.problems)]
    )


def _evidence(pool: Pool, estimator: Estimator, groups: np.ndarray) -> Evidence:
    forest = pool.forest
    turns = int(forest.turn.max()) + 1
    # Episodes that are left over are alone: a group of their own each, and not used.
    alone = np.where(groups < 0, len(groups) + np.arange(len(groups)), groups)
    forest = dataclasses.replace(forest, group=alone[forest.path] * turns + forest.turn)
    values, bootstraps = pool.values[estimator.critic] if estimator.critic else (None, None)
    lam, greedy = estimator.lam or 0.0, pool.greedy if estimator.greedy else None
    return Evidence(forest, pool.gamma, lam, lam, values, bootstraps, greedy=greedy, running=_turn_means(pool, turns))


def _turn_means(pool: Pool, turns: int) -> np.ndarray:
    """(turns, agents): mean returns-to-go over the pool, the baseline of a response with nobody to be compared with."""
    found = returns_to_go(pool.forest, pool.gamma)
    return np.stack([found[pool.forest.turn == turn].mean(0) for turn in range(turns)])


def _by_episode(pool: Pool, credit: Credit) -> np.ndarray:
    """(paths, agents · width): Σ A·∇ℓ over each episode, agent beside agent, whose weights are different ones."""
    forest, width = pool.forest, pool.scores.shape[1]
    total = np.zeros((forest.paths, forest.agents, width))
    for agent in range(forest.agents):
        index = forest.decision[:, agent]
        pull = (credit.advantages * credit.weights)[index, None] * pool.scores[index]
        np.add.at(total[:, agent], forest.path, pull)
    return total.reshape(forest.paths, -1)


def _by_group(pool: Pool, by_episode: np.ndarray, groups: np.ndarray, size: int) -> np.ndarray:
    """(problems, groups, numbers): means over the episodes of each group."""
    used = np.flatnonzero(groups >= 0)
    total = np.zeros((int(groups.max()) + 1, by_episode.shape[1]))
    np.add.at(total, groups[used], by_episode[used] / size)
    return total.reshape(pool.problems, -1, by_episode.shape[1])


def _advantage_variance(forest: Forest, credit: Credit) -> np.ndarray:
    turns = range(int(forest.turn.max()) + 1)
    by_node, used = credit.advantages[forest.decision], (credit.weights[forest.decision] > 0).all(1)
    return np.array([by_node[(forest.turn == turn) & used].var(0).mean() for turn in turns])


@dataclasses.dataclass(frozen=True)
class Measured:
    """A number with its standard error over problems (jackknife)."""

    value: float
    error: float


def variance(found: Gradients) -> Measured:
    """Trace of the covariance of an estimate from a problem drawn afresh, times the env steps it costs.

    Mean square minus the squared mean; the latter from pairs of different problems, which makes it unbiased.
    """
    squares = (found.estimates**2).sum(2).mean(1)
    gram = _gram(found.estimates.mean(1))
    return jackknife(lambda kept: found.env_steps * (squares[kept].mean() - _pairs(gram, kept)), len(squares))


def square(found: Gradients) -> Measured:
    """|E ĝ|², from pairs of different problems."""
    gram = _gram(found.estimates.mean(1))
    return jackknife(lambda kept: _pairs(gram, kept), len(gram))


def bias(found: Gradients, reference: Gradients, draw: np.random.Generator, flips: int = 199) -> tuple[Measured, float]:
    """|E ĝ − E ĝ_ref|² on the same episodes, and the chance of a value as large without any bias (random signs)."""
    gram = _gram(found.estimates.mean(1) - reference.estimates.mean(1))
    measured = jackknife(lambda kept: _pairs(gram, kept), len(gram))
    signs = draw.choice((-1.0, 1.0), size=(flips, len(gram)))
    null = np.einsum("fp,pq,fq->f", signs, gram, signs)
    whole = gram.sum()
    slack = 1e-9 * np.trace(gram)
    return measured, float((1 + (null >= whole - slack).sum()) / (flips + 1))


def _gram(means: np.ndarray) -> np.ndarray:
    return means @ means.T


def _pairs(gram: np.ndarray, kept: np.ndarray) -> float:
    """The mean inner product of different problems."""
    part = gram[np.ix_(kept, kept)]
    count = len(kept)
    return float((part.sum() - np.trace(part)) / (count * (count - 1)))


def jackknife(statistic: Callable[[np.ndarray], float], problems: int) -> Measured:
    """A statistic of the problems kept, with the standard error that leaving out one at a time gives it."""
    every = np.arange(problems)
    without = np.array([statistic(np.delete(every, place)) for place in every])
    spread = (problems - 1) / problems * float(((without - without.mean()) ** 2).sum())
    return Measured(float(statistic(every)), float(np.sqrt(spread)))
