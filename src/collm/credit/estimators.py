"""Temporal-difference credit on forests. Shapes: nodes are rows; columns are agents, or one for a team value."""

from __future__ import annotations

import dataclasses

import numpy as np

from collm.rollout.forest import Forest


@dataclasses.dataclass(frozen=True)
class Credit:
    """What a method makes of a forest."""

    advantages: np.ndarray
    """(decisions,): the advantage of each response."""
    weights: np.ndarray
    """(decisions,): how much each response counts in the policy loss."""
    targets: np.ndarray | None
    """(nodes, values): what the critic should have said at each node; None for methods without a critic."""


def temporal_difference(
    forest: Forest, values: np.ndarray, bootstraps: np.ndarray, gamma: float, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """TD(λ) advantages and value targets per node (METHODS, actor-critic; λ = 0 is the paper's).

    ``values`` (nodes, values) is V(h_t) at each node, before its joint action; ``bootstraps`` (nodes, values) is V at the
    observation kept behind a truncated node and is read nowhere else. ``values`` has one column per agent, or a
    single one for the team. δ = r + γ·V(next) − V and A = δ + γλ·A(next), where *next* is the mean over the children of a
    node, V(next) is 0 behind a terminated node and the bootstrap behind a truncated one. Returns A and y = A + V.
    """
    rewards = forest.rewards if values.shape[1] == forest.agents else forest.rewards.mean(1, keepdims=True)
    advantages = np.zeros_like(values, dtype=np.float64)
    next_value = np.where(forest.truncated[:, None], bootstraps, 0.0).astype(np.float64)
    next_advantage = np.zeros_like(advantages)
    children = np.bincount(forest.parent[forest.parent >= 0], minlength=len(forest))
    for turn in range(int(forest.turn.max(initial=0)), -1, -1):
        nodes = np.flatnonzero(forest.turn == turn)
        delta = rewards[nodes] + gamma * next_value[nodes] - values[nodes]
        advantages[nodes] = delta + gamma * lam * next_advantage[nodes]
        inner = nodes[forest.parent[nodes] >= 0]
        parents = forest.parent[inner]
        share = 1.0 / children[parents][:, None]
        np.add.at(next_value, parents, share * values[inner])
        np.add.at(next_advantage, parents, share * advantages[inner])
    return advantages, advantages + values


def per_decision(forest: Forest, node_values: np.ndarray) -> np.ndarray:
    """(decisions,): each response's share of (nodes, agents or 1) values: the mean over the nodes it served."""
    spread = np.broadcast_to(node_values, (len(forest), forest.agents))
    total = np.zeros(len(forest.decisions))
    count = np.zeros(len(forest.decisions))
    np.add.at(total, forest.decision, spread)
    np.add.at(count, forest.decision, 1.0)
    return total / np.maximum(count, 1.0)


def normalised(advantages: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Advantages with weighted mean 0 and standard deviation 1 over the whole batch; unchanged if they do not vary."""
    total = weights.sum()
    if total <= 0:
        return advantages
    mean = (weights * advantages).sum() / total
    spread = np.sqrt((weights * (advantages - mean) ** 2).sum() / total)
    return (advantages - mean) / spread if spread > 1e-8 else advantages - mean
