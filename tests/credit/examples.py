"""Forests that several tests of credit work through by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from collm.rollout.forest import Forest
from tests.forests import forest


def sharing(found: Forest, decision: Sequence[Sequence[int]]) -> Forest:
    """The forest with this (nodes, agents) table of decisions, as in cross trees."""
    table = np.array(decision)
    return dataclasses.replace(found, decision=table, decisions=found.decisions[: table.max() + 1])


def three_episodes(agents: int = 2, cut: Sequence[int] = (), rewards: Sequence[object] = (1, 2, 4, 8, 3, 5)) -> Forest:
    """Three episodes of one problem that end at different turns, rewards (1, 2, 4), (8) and (3, 5).

    γ = 1: returns-to-go (7, 6, 4), (8) and (8, 5); alive are 3, 2 and 1.
    """
    return forest((-1, 0, 1, -1, -1, 4), rewards, agents=agents, cut=cut, linear=True)  # type: ignore[arg-type]


def aligned_tree() -> Forest:
    """METHODS' worked example: nodes 0 root, 1 and 2 its children; reward 10·node + s_0 + 2·s_1; root returns 11.5, 24.5.

    A row here is a joint action s at a node: 0 + 3s first, then 10 + 3s behind s = 0 and 20 + 3s behind s = 1.
    """
    return forest((-1, -1, 0, 0, 1, 1), (0, 3, 10, 13, 20, 23))


def cross_tree() -> Forest:
    """Two agents, two responses each. Joint actions (0,0), (0,1), (1,0), (1,1) earn 1, 2, 4, 8; only behind the last
    comes a second turn, whose joint actions earn 0, 2, 4, 6, mean 3. Rows 0–3 and 4–7; decisions 0–7.

    γ = ½: R = 1, 2, 4, 8 + 1.5 = 9.5.
    """
    tree = forest((-1, -1, -1, -1, 3, 3, 3, 3), (1, 2, 4, 8, 0, 2, 4, 6))
    return sharing(tree, [[0, 2], [0, 3], [1, 2], [1, 3], [4, 6], [4, 7], [5, 6], [5, 7]])
