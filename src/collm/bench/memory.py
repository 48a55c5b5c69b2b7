"""Peak memory of training a model of at least a hundred million parameters, each side alone on the machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from collm.bench.driver import Side
from collm.bench.plan import Bench
from collm.bench.ratios import Ratio, above_imports, require_equal, shown
from collm.bench.side.worker import Record
from collm.bench.workload import Workload

WORKLOAD = Workload(episodes=8)
QUICK = Workload(episodes=2, tokens=12)
_ROUNDS = 2
"""The second round is the one with everything in it: optimisers get their state at the end of the first."""


def measure(bench: Bench, work: Workload, shape: str) -> Record:
    """Bytes above the imports at most, of both sides; and of theirs with one sample per optimiser step, beside."""
    model = bench.model(shape)
    found: Record = {"workload": dataclasses.asdict(work), "shape": shape, "joint_history": work.joint_history}
    with bench.ours() as ours:
        replies = _replies(ours, bench.load_ours(ours, work, model), None, bench)
        found["ours"], first = _peaks(ours, replies), replies[-1]
        require_equal(work, first, None)
    if bench.python is None:
        return found
    for name, changes in (("theirs", {}), ("theirs_one_sample", {"train_batch": 1})):
        with bench.theirs() as theirs:
            assert theirs is not None
            others = _replies(theirs, bench.load_theirs(theirs, work, model, **changes), replies, bench)
            found[name] = _peaks(theirs, others)
            require_equal(work, first, others[-1])
    found["ratio"] = Ratio((found["theirs"]["peak_bytes"] / found["ours"]["peak_bytes"],)).record()
    found["ratio_one_sample"] = found["theirs_one_sample"]["peak_bytes"] / found["ours"]["peak_bytes"]
    return found


def _replies(side: Side, loaded: Record, before: Sequence[Record] | None, bench: Bench) -> list[Record]:
    """What loading and the rounds said; with ``before``, what our side said, on the same problems."""
    replies = [loaded]
    for place in range(1, _ROUNDS + 1):
        given = {} if before is None else {"numbers": before[place]["numbers"]}
        replies.append(side.request("round", **given))
        peak = above_imports(side.ready, replies[-1]) / 2**20
        bench.say(f"  {side.name}: {peak:,.0f} MiB, {replies[-1]['seconds']:.1f} s")
    return replies


def _peaks(side: Side, replies: Sequence[Record]) -> Record:
    return {
        "peak_bytes": max(above_imports(side.ready, reply) for reply in replies),
        "loaded_bytes": above_imports(side.ready, replies[0]),
        "import_bytes": side.ready["memory"]["resident"],
        "parameters": replies[0]["parameters"],
        "rounds": [shown(reply) for reply in replies[1:]],
    }
