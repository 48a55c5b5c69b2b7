"""How the cost of an update grows with agents, turns, response length and batch."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from collm.bench import limits
from collm.bench.driver import Side, interleaved
from collm.bench.plan import Bench
from collm.bench.ratios import require_equal
from collm.bench.side.worker import Record
from collm.bench.workload import Workload

LONG, SHORT = Workload(tokens=192, episodes=16), Workload(tokens=64, episodes=16)
SWEEPS: dict[str, list[Workload]] = {
    "agents": [dataclasses.replace(LONG, agents=agents) for agents in (1, 2, 4, 8)],
    "turns": [dataclasses.replace(LONG, turns=turns) for turns in (1, 2, 4, 8)],
    "tokens": [dataclasses.replace(SHORT, tokens=tokens) for tokens in (16, 64, 224, 896)],
    "episodes": [dataclasses.replace(SHORT, episodes=episodes) for episodes in (8, 24, 96, 288)],
}
"""What changes → the workloads. The longest joint histories have about 3.7 k tokens."""
_QUICK = Workload(tokens=8, episodes=4)
QUICK: dict[str, list[Workload]] = {
    "agents": [dataclasses.replace(_QUICK, agents=agents) for agents in (1, 2, 4)],
    "turns": [dataclasses.replace(_QUICK, turns=turns) for turns in (1, 2, 4)],
    "tokens": [dataclasses.replace(_QUICK, tokens=tokens) for tokens in (8, 16, 32)],
    "episodes": [dataclasses.replace(_QUICK, episodes=episodes) for episodes in (2, 4, 8)],
}
_ROUNDS = 2
_FEW = 4
"""Episodes of larger models than the smallest, where the batch is not what grows."""


def works(name: str, shape: str, quick: bool) -> list[Workload]:
    """The workloads of one sweep of a model of this shape."""
    found = (QUICK if quick else SWEEPS)[name]
    if quick or name == "episodes" or shape == "0.8M":
        return found
    return [dataclasses.replace(work, episodes=_FEW) for work in found]


def measure(bench: Bench, name: str, works: Sequence[Workload], shape: str, theirs_too: bool) -> Record:
    """One sweep: seconds per episode and per env step of each side at every size, and the exponents."""
    model = bench.model(shape)
    rows = []
    with bench.ours() as ours, bench.theirs() as other:
        theirs = other if theirs_too else None
        for work in works:
            bench.say(f"  {name} = {getattr(work, name)}")
            rows.append(_row(bench, work, model, ours, theirs, name))
    return {"name": name, "shape": shape, "rows": rows, **{side: fitted(rows, side) for side in _sides(rows)}}


def with_work(sweep: Record, quick: bool) -> Record:
    """The sweep with what the work itself takes at every size, as ``work``: FLOPs of playing and learning, without
    critics."""
    rows = []
    for row, work in zip(sweep["rows"], works(sweep["name"], sweep["shape"], quick), strict=True):
        flops = work.agents * sum(
            limits.history_flops(sweep["shape"], work.joint_history / work.agents, work.turns * work.tokens)
        )
        rows.append({**row, "work": {"per_episode": flops, "per_env_step": flops / work.turns}})
    return {**sweep, "rows": rows, "work": fitted(rows, "work")}


def _row(bench: Bench, work: Workload, model: Path, ours: Side, theirs: Side | None, name: str) -> Record:
    bench.load_ours(ours, work, model)
    if theirs is not None:
        bench.load_theirs(theirs, work, model)
    replies: dict[str, list[Record]] = {"ours": [], "theirs": []}
    for mine, other in interleaved(ours, theirs, 1 if bench.quick else _ROUNDS, bench.say):
        require_equal(work, mine, other)
        replies["ours"].append(mine)
        if other is not None:
            replies["theirs"].append(other)
    row: Record = {"value": getattr(work, name), "joint_history": work.joint_history}
    for side, found in replies.items():
        if found:
            seconds = statistics.median(reply["seconds"] for reply in found)
            row[side] = {"per_episode": seconds / work.episodes, "per_env_step": seconds / work.env_steps}
    return row


def _sides(rows: Sequence[Mapping[str, object]]) -> list[str]:
    return [side for side in ("ours", "theirs") if side in rows[0]]


def fitted(rows: Sequence[Record], side: str) -> Record:
    """Exponents of seconds per episode and per env step: fitted over all sizes, and between the last two."""
    sizes = np.log([row["value"] for row in rows])
    found = {}
    for cost in ("per_episode", "per_env_step"):
        costs = np.log([row[side][cost] for row in rows])
        found[f"exponent_{cost}"] = float(np.polyfit(sizes, costs, 1)[0])
        found[f"last_exponent_{cost}"] = float((costs[-1] - costs[-2]) / (sizes[-1] - sizes[-2]))
    return found
