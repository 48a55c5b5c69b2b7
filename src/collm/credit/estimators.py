"""What every credit function is made of. Shapes: nodes are rows; columns are agents, or one for a team value."""

from __future__ import annotations

import dataclasses

import numpy as np

from collm.rollout.forest import Forest


@dataclasses.dataclass(frozen=True)
class Credit:
    """What a method makes of a forest."""

    advantages: np.ndarray
    """(decisions,): the advantage of each response, in the task's units."""
    weights: np.ndarray
    """(decisions,): how much each response counts in the policy loss; 0 leaves it out."""
    targets: np.ndarray | None = None
    """(nodes, values): what the critic should have said at each node; None for methods without a critic."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a method may use to assign credit: a forest, and what its critics and baselines say about it."""

    forest: Forest
    gamma: float
    """Discount per turn."""
    lam: float = 0.0
    """λ of the advantages; 0 is the paper's one-step error."""
    target_lam: float = 0.0
    """λ of the value targets."""
    values: np.ndarray | None = None
    """(nodes, values) V(h_t) at each node, before its joint action: a column per agent, or one for the team."""
    bootstraps: np.ndarray | None = None
    """(nodes, values) V at the observation kept behind a truncated node; read nowhere else."""
    slow: tuple[np.ndarray, np.ndarray] | None = None
    """Values and bootstraps of the target network, from which targets are made; None without one."""
    action_values: np.ndarray | None = None
    """(nodes, values) Q(h_t, a_t) of the joint action that was taken, of critics that have it."""
    greedy: np.ndarray | None = None
    """(nodes, agents) return-to-go, from the node's turn on, of the greedy team on the node's problem."""
    running: np.ndarray | None = None
    """(turns, agents) running mean, over earlier updates, of what a response was credited with; None for zeros."""


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


def returns_to_go(forest: Forest, gamma: float) -> np.ndarray:
    """(nodes, agents): G = r + γ · mean of the children's G, with nothing behind an end or a cut."""
    nothing = np.zeros((len(forest), forest.agents))
    return temporal_difference(forest, nothing, nothing, gamma, 1.0)[0]


def reach(forest: Forest) -> np.ndarray:
    """(nodes,): 1/Bᵗ in a tree with B joint actions per node, so that deep turns do not dominate; 1 in linear rollouts."""
    children = np.bincount(forest.parent[forest.parent >= 0], minlength=len(forest))
    share = np.ones(len(forest))
    for turn in range(1, int(forest.turn.max(initial=0)) + 1):
        nodes = np.flatnonzero(forest.turn == turn)
        parents = forest.parent[nodes]
        share[nodes] = share[parents] / children[parents]
    return share


def is_cut(forest: Forest) -> np.ndarray:
    """(nodes,): whether some episode through the node was cut from outside, so that its return is not known."""
    cut = forest.truncated.copy()
    for turn in range(int(forest.turn.max(initial=0)), 0, -1):
        nodes = np.flatnonzero((forest.turn == turn) & cut)
        cut[forest.parent[nodes]] = True
    return cut


def summed(forest: Forest, node_values: np.ndarray) -> np.ndarray:
    """(decisions,): (nodes, agents or 1) values summed over the nodes that each response served."""
    total = np.zeros(len(forest.decisions))
    np.add.at(total, forest.decision, np.broadcast_to(node_values, (len(forest), forest.agents)))
    return total


def per_decision(forest: Forest, node_values: np.ndarray) -> np.ndarray:
    """(decisions,): (nodes, agents or 1) values as means over the nodes that each response served."""
    served = summed(forest, np.ones((len(forest), 1)))
    return summed(forest, node_values) / np.maximum(served, 1.0)


def first_nodes(forest: Forest) -> np.ndarray:
    """(decisions,): the first node that each response served."""
    nodes = np.full(len(forest.decisions), len(forest))
    np.minimum.at(nodes, forest.decision, np.arange(len(forest))[:, None])
    return nodes


def agents_of(forest: Forest) -> np.ndarray:
    """(decisions,): whose response each one is."""
    agents = np.zeros(len(forest.decisions), dtype=np.int64)
    agents[forest.decision] = np.arange(forest.agents)
    return agents
