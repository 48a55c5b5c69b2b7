"""Forests written down by hand, without any model behind them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collm.rollout.forest import Decision, Forest, Span, Transcript


def forest(
    parents: Sequence[int],
    rewards: Sequence[float | Sequence[float]],
    agents: int = 2,
    cut: Sequence[int] = (),
    problem: Sequence[int] | None = None,
    group: Sequence[int] | None = None,
    linear: bool = False,
) -> Forest:
    """Nodes with these parents and rewards, each with decisions of its own; leaves terminate unless they are cut.

    All nodes are of problem 0 unless ``problem`` says otherwise. ``group`` defaults to that of a tree: the children of
    one parent, or the roots of one problem; with ``linear`` it is that of linear rollouts: one problem at one turn.
    """
    count = len(parents)
    turn = np.zeros(count, dtype=np.int64)
    path = np.zeros(count, dtype=np.int64)
    paths = 0
    first_child: set[int] = set()
    for node, parent in enumerate(parents):
        if parent >= 0:
            turn[node] = turn[parent] + 1
        if parent >= 0 and parent not in first_child:
            first_child.add(parent)
            path[node] = path[parent]
        else:
            path[node] = paths
            paths += 1
    problems = np.zeros(count, dtype=np.int64) if problem is None else np.array(problem, dtype=np.int64)
    if group is None:
        compared = np.array([problems, turn] if linear else [parents, np.where(np.array(parents) < 0, problems, -1)])
        group = np.unique(compared, axis=1, return_inverse=True)[1].tolist()
    leaf = np.array([node not in set(parents) for node in range(count)])
    truncated = np.array([node in cut for node in range(count)])
    spread = np.array([np.broadcast_to(reward, agents) for reward in rewards], dtype=np.float64)
    return Forest(
        agents=agents,
        problem=problems,
        path=path,
        parent=np.array(parents),
        turn=turn,
        group=np.array(group, dtype=np.int64),
        rewards=spread,
        terminated=leaf & ~truncated,
        truncated=truncated,
        decision=np.arange(count * agents).reshape(count, agents),
        decisions=tuple(
            Decision(agent, 0, 0, Span(0, 1, 2), np.zeros(1, dtype=np.float32))
            for _ in range(count)
            for agent in range(agents)
        ),
        transcripts=tuple(Transcript(agent) for _ in range(paths) for agent in range(agents)),
    )
