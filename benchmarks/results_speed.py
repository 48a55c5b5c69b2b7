"""How fast teams learn: differences of the areas under training curves, and what of a budget only a critic learns from."""

from __future__ import annotations

from collm.comparison.data import Group
from collm.comparison.records import Record
from collm.evaluation import stats
from collm.evaluation.stats import Estimate
from collm.methods import METHODS


def gained(group: Group | None, other: Group | None, warm: bool = True) -> Estimate | None:
    """Difference of the areas under two curves, over the seeds that both have. ``warm``: with the updates in which only
    a critic learns; without them both curves have the env steps that are left to the one that has fewer."""
    if group is None or other is None:
        return None
    left = min(one.budget - warming(record) for one in (group, other) for record in one.records)
    areas = [
        one.areas() if warm else one.areas([warming(record) for record in one.records], left) for one in (group, other)
    ]
    a, b = (dict(zip(one.seeds, found, strict=True)) for one, found in zip((group, other), areas, strict=True))
    common = sorted(set(a) & set(b))
    return stats.mean([a[seed] - b[seed] for seed in common]) if common else None


def warming(record: Record) -> int:
    """Env steps of the updates in which only the critic learned."""
    updates = record["config"]["critic"]["warmup_updates"] if METHODS[record["method"]].critic else 0
    return int(record["curve"]["env_steps"][updates - 1]) if updates else 0
