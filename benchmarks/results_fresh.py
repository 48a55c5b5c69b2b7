"""The study ``fresh``: the released StrBuild without updates in which critics learn alone, beside the cells of ``main``."""

from __future__ import annotations

from collections.abc import Mapping

from results_speed import gained

from collm.analysis.folder import Table
from collm.comparison.data import Comparison

STUDY, SETTING = "fresh", "str-build-fresh"
CC, DC = "collm-cc-warmup-0", "collm-dc-warmup-0"
PAIRS = (
    ("collm-cc", "magrpo"),
    ("collm-dc", "magrpo"),
    (CC, "collm-cc"),
    (DC, "collm-dc"),
    (CC, "magrpo"),
    (DC, "magrpo"),
    (CC, DC),
)


def block(studies: Mapping[str, Comparison]) -> str:
    """The contrasts, for a page."""
    return table(joined(studies)).markdown() if STUDY in studies else "No cell is finished yet."


def joined(studies: Mapping[str, Comparison]) -> Comparison:
    """The cells of both studies, which have the setting and the seeds in common."""
    theirs = [record for record in studies["main"].records if record["setting"] == SETTING]
    return Comparison([*theirs, *studies[STUDY].records])


def table(found: Comparison) -> Table:
    """A row per pair of arms: paired differences over the seeds that both have."""
    rows = []
    for arm, other in PAIRS:
        final = found.difference(SETTING, arm, other)
        area = gained(found.groups.get((SETTING, arm)), found.groups.get((SETTING, other)))
        if final is not None and area is not None:
            rows.append((f"{arm} − {other}", str(final.seeds), final.text("+.1f"), area.text("+.1f")))
    columns = ("pair", "seeds", "held-out score [95 %]", "area under the curve [95 %]")
    return Table("The released StrBuild: paired differences", columns, tuple(rows))
