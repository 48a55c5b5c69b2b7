"""CoLLM-CC against the others, setting by setting: differences of the held-out score and of areas under training curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from results_speed import gained

from collm.analysis.folder import Table
from collm.comparison.data import Comparison
from collm.evaluation.stats import Estimate

CONTRASTS = (("collm-cc", "collm-dc"), ("collm-cc", "magrpo"))


@dataclasses.dataclass(frozen=True)
class Gap:
    """What the first arm of a contrast has more than the second, over the seeds that both have."""

    score: Estimate
    """Held-out score of the trained teams."""
    area: Estimate
    """Area under the training curve."""
    area_later: Estimate
    """The same without the updates in which only a critic learns."""


def gap(found: Comparison, setting: str, contrast: tuple[str, str]) -> Gap | None:
    """None where the two arms have no finished seed in common."""
    score = found.difference(setting, *contrast)
    first, second = (found.groups.get((setting, arm)) for arm in contrast)
    area, later = gained(first, second), gained(first, second, warm=False)
    return None if score is None or area is None or later is None else Gap(score, area, later)


def table(rows: Iterable[tuple[str, list[Gap | None]]]) -> Table:
    """A row per setting: its label, and a gap for each of ``CONTRASTS``. Settings that have none are left out."""
    names = [" − ".join(contrast) for contrast in CONTRASTS]
    title = "Differences: mean [95 %, Student], seeds of the held-out score; and of the area under the training curve"
    return Table(
        title,
        ("setting", *names, *(f"area, {name}" for name in names), "the same without warm-up"),
        tuple((label, *_cells(gaps)) for label, gaps in rows if any(gaps)),
    )


def _cells(gaps: list[Gap | None]) -> list[str]:
    finals = ["–" if one is None else f"{one.score.text('+.1f')}, {one.score.seeds}" for one in gaps]
    areas = [None if one is None else one.area for one in gaps]
    areas.append(None if gaps[-1] is None else gaps[-1].area_later)
    return [*finals, *("–" if area is None else area.text("+.1f") for area in areas)]
