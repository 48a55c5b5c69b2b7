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
) -> Forest:
    """Nodes with these parents and rewards, each with decisions of its own; leaves terminate unless they are cut."""
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
    leaf = np.array([node not in set(parents) for node in range(count)])
    truncated = np.array([node in cut for node in range(count)])
    spread = np.array([np.broadcast_to(reward, agents) for reward in rewards], dtype=np.float64)
    return Forest(
        agents=agents,
        problem=np.zeros(count, dtype=np.int64),
        path=path,
        parent=np.array(parents),
        turn=turn,
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
