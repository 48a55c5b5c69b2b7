"""The credit of the Monte-Carlo methods: returns of responses, compared with those of their group (METHODS, table)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from collm.credit.estimators import (
    Credit,
    Evidence,
    agents_of,
    first_nodes,
    is_cut,
    per_decision,
    reach,
    returns_to_go,
    summed,
)
from collm.rollout.forest import Forest


@dataclasses.dataclass(frozen=True)
class Responses:
    """What each response is credited with, and which ones it is compared with. All arrays (decisions,)."""

    returns: np.ndarray
    """G: the return-to-go of its joint action; summed over all that contain it (``cross``)."""
    group: np.ndarray
    """Responses of one agent with one number are compared: siblings of one node, or a problem's episodes at one turn."""
    turn: np.ndarray
    agent: np.ndarray
    known: np.ndarray
    """False where the return was cut from outside: such responses neither learn nor serve as a baseline."""
    weight: np.ndarray
    """1/Bᵗ, and 0 where the return is not known."""

    def over_group(self, reduce: Callable[[np.ndarray], np.ndarray | float], alone: np.ndarray) -> np.ndarray:
        """(decisions,): ``reduce`` of the known returns of each group of two or more; ``alone`` (decisions,) elsewhere."""
        found = alone.copy()
        known = np.flatnonzero(self.known)
        known = known[np.argsort(self.group[known], kind="stable")]
        starts = np.flatnonzero(np.diff(self.group[known], prepend=-1))
        for members in np.split(known, starts[1:]):
            if len(members) > 1:
                found[members] = reduce(self.returns[members])
        return found


def responses(forest: Forest, gamma: float) -> Responses:
    """The returns and groups of all responses of a forest."""
    node, agent = first_nodes(forest), agents_of(forest)
    known = summed(forest, is_cut(forest)[:, None]) == 0
    weight = np.where(known, per_decision(forest, reach(forest)[:, None]), 0.0)
    returns = summed(forest, returns_to_go(forest, gamma))
    return Responses(returns, forest.group[node] * forest.agents + agent, forest.turn[node], agent, known, weight)


def _usual(evidence: Evidence, found: Responses) -> np.ndarray:
    """The running mean of the response's turn and agent: the baseline of a response with nobody to be compared with."""
    if evidence.running is None:
        return np.zeros(len(found.returns))
    return evidence.running[found.turn, found.agent]


def _against(evidence: Evidence, reduce: Callable[[np.ndarray], np.ndarray | float]) -> Credit:
    found = responses(evidence.forest, evidence.gamma)
    return Credit(found.returns - found.over_group(reduce, _usual(evidence, found)), found.weight)


def reinforce(evidence: Evidence) -> Credit:
    """A = G. Unbiased, and the noisiest."""
    found = responses(evidence.forest, evidence.gamma)
    return Credit(found.returns, found.weight)


def group_mean(evidence: Evidence) -> Credit:
    """A = G − mean of the group. The mean contains G itself, which scales the gradient by (K−1)/K."""
    return _against(evidence, np.mean)


def leave_one_out(evidence: Evidence) -> Credit:
    """A = G − mean of the others = (K·G − ΣG)/(K − 1). Unbiased."""
    return _against(evidence, lambda returns: (returns.sum() - returns) / (len(returns) - 1))


def group_max(evidence: Evidence) -> Credit:
    """A = G − max of the group: never above 0, so a surrogate, not an estimate of the gradient."""
    return _against(evidence, np.max)


def greedy_baseline(evidence: Evidence) -> Credit:
    """A = G − return-to-go of a greedy joint rollout from the same turn on (ReMax of the literature). Unbiased."""
    assert evidence.greedy is not None
    found = responses(evidence.forest, evidence.gamma)
    return Credit(found.returns - summed(evidence.forest, evidence.greedy), found.weight)


def greedy_returns(forest: Forest, greedy: Forest, gamma: float) -> np.ndarray:
    """(nodes, agents): the return-to-go of the greedy episode on each node's problem from the node's turn on.

    ``greedy`` has one linear episode per problem of ``forest``; behind its end nothing is left to gain.
    """
    found = np.zeros((int(greedy.problem.max()) + 1, int(max(forest.turn.max(), greedy.turn.max())) + 1, forest.agents))
    found[greedy.problem, greedy.turn] = returns_to_go(greedy, gamma)
    return found[forest.problem, forest.turn]
