"""Small studies that ask why: their arms beside those of the study they ask about, with its setting and seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from results_speed import gained

from collm.analysis.folder import Table
from collm.comparison.data import Comparison


@dataclasses.dataclass(frozen=True)
class Beside:
    """A study, the one whose cells it is compared with, and the pairs of arms that are asked about."""

    study: str
    other: str
    setting: str
    title: str
    pairs: tuple[tuple[str, str], ...]

    def block(self, studies: Mapping[str, Comparison]) -> str:
        """The contrasts, for a page."""
        return self.table(studies).markdown() if self.study in studies else "No cell is finished yet."

    def table(self, studies: Mapping[str, Comparison]) -> Table:
        """A row per pair of arms: paired differences over the seeds that both have."""
        theirs = [record for record in studies[self.other].records if record["setting"] == self.setting]
        found = Comparison([*theirs, *studies[self.study].records])
        rows = []
        for arm, other in self.pairs:
            final = found.difference(self.setting, arm, other)
            area = gained(found.groups.get((self.setting, arm)), found.groups.get((self.setting, other)))
            if final is not None and area is not None:
                rows.append((f"{arm} − {other}", str(final.seeds), final.text("+.1f"), area.text("+.1f")))
        columns = ("pair", "seeds", "held-out score [95 %]", "area under the curve [95 %]")
        return Table(self.title, columns, tuple(rows))


FRESH = Beside(
    "fresh",
    "main",
    "str-build-fresh",
    "The released StrBuild: paired differences",
    (
        ("collm-cc", "magrpo"),
        ("collm-dc", "magrpo"),
        ("collm-cc-warmup-0", "collm-cc"),
        ("collm-dc-warmup-0", "collm-dc"),
        ("collm-cc-warmup-0", "magrpo"),
        ("collm-dc-warmup-0", "magrpo"),
        ("collm-cc-warmup-0", "collm-dc-warmup-0"),
    ),
)
"""Without the updates in which a critic learns alone."""
SPARSE = Beside(
    "sparse",
    "sweep",
    "coop-he-4-terminal",
    "CoopHE with four turns and reward after the last: paired differences",
    (
        ("collm-cc", "magrpo"),
        ("collm-dc", "magrpo"),
        ("magrpo-2", "magrpo"),
        ("collm-cc", "magrpo-2"),
        ("blind", "magrpo-2"),
        ("lam-1", "blind"),
        ("collm-cc", "lam-1"),
        ("collm-cc", "blind"),
    ),
)
"""From few problems and no critic to CoLLM-CC, one step at a time."""
