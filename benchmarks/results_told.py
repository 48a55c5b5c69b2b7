"""The study ``told``: whether critics that are told numbers make CoLLM-CC, or CoLLM-DC, better than those that read and than
MAGRPO."""

from __future__ import annotations

from collections.abc import Mapping

from results_claims import FLAGSHIP, FLAGSHIP_SEEDS, better, steps, waiting
from results_speed import gained

from collm.analysis.folder import Table
from collm.comparison.data import Comparison, Group
from collm.evaluation import stats
from collm.evaluation.stats import Estimate

STUDY, ARM, OWN = "told", "collm-cc-told", "collm-dc-own"
_OTHERS = ("collm-dc", "collm-dc-lam-0.8", "collm-dc-running", "collm-dc-long", OWN, "magrpo")
PAIRS = (
    *((ARM, other) for other in _OTHERS),
    *((OWN, other) for other in ("collm-dc", "collm-dc-lam-0.8", "collm-dc-running", "magrpo")),
    ("collm-dc", "magrpo"),
)
BESIDE = {"hardened [95 %]": ("sampled", "score_hardened"), "greedy [95 %]": ("greedy", "score")}
"""What stands beside the score that decides: the decoding and the measure."""


def block(studies: Mapping[str, Comparison]) -> str:
    """The contrasts, for a page."""
    return table(studies[STUDY]).markdown() if STUDY in studies else "No cell is finished yet."


def table(found: Comparison) -> Table:
    """A row per pair of arms."""
    rows = []
    for arm, other in PAIRS:
        final = found.difference(FLAGSHIP, arm, other)
        if final is None:
            continue
        groups = found.groups[FLAGSHIP, arm], found.groups[FLAGSHIP, other]
        area = gained(*groups)
        if area is None:
            continue
        ratio, common = steps(found, FLAGSHIP, other, arm)
        sooner = "–" if ratio is None else f"{ratio.text('.2f')}, {ratio.seeds} of {common} seeds"
        verdict = waiting(final.seeds, FLAGSHIP_SEEDS) or better(final)
        beside = [difference(*groups, *measure).text("+.1f") for measure in BESIDE.values()]
        numbers = (str(final.seeds), final.text("+.1f"), *beside, area.text("+.1f"), sooner)
        rows.append((f"{arm} − {other}", *numbers, verdict))
    columns = ("pair", "seeds", "held-out score [95 %]", *BESIDE, "area under the curve [95 %]")
    last = ("env steps to 80, second / first", "the first is better")
    return Table("A critic that is told the state: paired differences", (*columns, *last), tuple(rows))


def difference(group: Group, other: Group, decoding: str, measure: str) -> Estimate:
    """One group minus another in a measure after training, over the seeds that both have."""
    ours, theirs = (
        {record["seed"]: record["after"][decoding][measure] for record in one.records} for one in (group, other)
    )
    return stats.mean([ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())])
