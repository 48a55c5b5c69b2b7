"""Speed on equal work: updates of both sides in turn, method by method."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from collm.bench.driver import interleaved
from collm.bench.plan import Bench
from collm.bench.ratios import above_imports, rates, require_equal, shown, speed_ratio
from collm.bench.side.worker import Record
from collm.bench.workload import Workload

WORKLOADS = {
    "maac_default": Workload(),
    "maac_same_update": Workload(episodes=8),
    "iac": Workload(kind="iac"),
    "magrpo": Workload(kind="magrpo"),
}
"""96 episodes were our default until 48 were found to learn faster; 8 per update are CoMLRL's buffer. A tree of 4 siblings
and 2 turns has 16 paths."""
QUICK = {
    "maac_default": Workload(episodes=12, tokens=12),
    "maac_same_update": Workload(episodes=2, tokens=12),
    "iac": Workload(kind="iac", episodes=4, tokens=12),
    "magrpo": Workload(kind="magrpo", episodes=4, siblings=2, tokens=12),
}


def measure(bench: Bench, work: Workload, shape: str) -> Record:
    """Rounds of one workload: rates, memory and counts of each side, and the ratio pair by pair."""
    model = bench.model(shape)
    with bench.ours() as ours, bench.theirs() as theirs:
        loaded = {"ours": bench.load_ours(ours, work, model)}
        if theirs is not None:
            loaded["theirs"] = bench.load_theirs(theirs, work, model)
        sides = {"ours": ours.ready} | ({"theirs": theirs.ready} if theirs is not None else {})
        pairs = []
        for mine, other in interleaved(ours, theirs, bench.rounds, bench.say):
            require_equal(work, mine, other)
            pairs.append([mine] if other is None else [mine, other])
    found = {"workload": dataclasses.asdict(work), "shape": shape, "joint_history": work.joint_history}
    for place, (name, ready) in enumerate(sides.items()):
        found[name] = _side(ready, loaded[name], [pair[place] for pair in pairs])
    if len(sides) > 1:
        found["ratio"] = speed_ratio(pairs).record()
    return found


def _side(ready: Record, loaded: Record, replies: Sequence[Record]) -> Record:
    return {
        **rates(replies),
        "peak_bytes": max(above_imports(ready, reply) for reply in replies),
        "import_bytes": ready["memory"]["resident"],
        "parameters": loaded["parameters"],
        "versions": ready["versions"],
        "rounds": [shown(reply) for reply in replies],
    }
