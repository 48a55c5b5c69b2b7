"""What is logged of an update: how the team did, what it was credited with, and how well its critics knew."""

from __future__ import annotations

from typing import Any

import numpy as np

from collm.credit import Credit, Evidence, temporal_difference
from collm.credit.estimators import agents_of, first_nodes, reach
from collm.evaluation.counterfactual import counterfactual_losses
from collm.evaluation.evaluate import contribution, measures
from collm.rollout.collector import Episode, Rollout
from collm.rollout.forest import Forest
from collm.tasks.protocol import Task

_CONTRIBUTION_EPISODES = 32
"""Episodes per update on which contribution is measured; it costs one replay per agent and episode."""


def batch_record(task: Task, rollout: Rollout) -> dict[str, Any]:
    """How the team did in this batch, before it learns from it."""
    forest = rollout.forest
    rows = [measures(task, episode) for episode in rollout.episodes]
    sampled = np.concatenate([decision.logprobs for decision in forest.decisions])
    return {
        **{name: float(np.mean([row[name] for row in rows])) for name in ("return", "final", "score", "turns")},
        "contribution": _contribution(task, rollout.episodes[:_CONTRIBUTION_EPISODES]),
        "response_tokens": len(sampled) / len(forest.decisions),
        "entropy": float(-sampled.mean()),
    }


def _contribution(task: Task, episodes: list[Episode]) -> list[float]:
    gained = [task.final(e.job.problem, e.state) - task.episode_floor(e.job.problem, e.state) for e in episodes]
    return contribution(counterfactual_losses(task, episodes), np.array(gained))


def advantage_record(forest: Forest, credit: Credit) -> dict[str, Any]:
    """Mean and standard deviation of the advantages, in reward units, as (turns, agents) lists; and the share left out."""
    turn, agent = forest.turn[first_nodes(forest)], agents_of(forest)
    turns = int(forest.turn.max()) + 1
    means = np.full((turns, forest.agents), np.nan)
    spreads = np.full((turns, forest.agents), np.nan)
    for seat in np.ndindex(turns, forest.agents):
        chosen = credit.advantages[(turn == seat[0]) & (agent == seat[1]) & (credit.weights > 0)]
        if len(chosen):
            means[seat], spreads[seat] = chosen.mean(), chosen.std()
    return {"mean": means.tolist(), "spread": spreads.tolist(), "left_out": float((credit.weights == 0).mean())}


def critic_record(evidence: Evidence) -> dict[str, Any]:
    """Share of the variance of the returns-to-go that the values explained before the update: per column, and the mean."""
    values, bootstraps = evidence.values, evidence.bootstraps
    assert values is not None
    assert bootstraps is not None
    _, returns = temporal_difference(evidence.forest, values, bootstraps, evidence.gamma, 1.0)
    weights = reach(evidence.forest)
    spread, left = _variance(returns, weights), _variance(returns - values, weights)
    share = np.where(spread > 1e-12, 1.0 - left / np.maximum(spread, 1e-12), 0.0)
    return {"explained_variance": float(share.mean()), "explained_variance_each": share.tolist()}


def _variance(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(columns,): weighted variance of (nodes, columns) values."""
    mean = np.average(values, 0, weights)
    return np.average((values - mean) ** 2, 0, weights)
