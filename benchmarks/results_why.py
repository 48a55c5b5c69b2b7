"""Contrasts of the study ``why``: what one change does to CoLLM-CC on the flagship, and the methods with small updates."""

from __future__ import annotations

from collections.abc import Mapping

from results_speed import gained

from collm.analysis.folder import Table
from collm.comparison.data import Comparison

STUDY, SETTING, BASE = "why", "flagship", "collm-cc"
SIZES = (("b48", "warmup-0"), ("magrpo-48", "magrpo"), ("b48-magrpo", "magrpo"))
"""Updates of 48 episodes and of 96, all else alike; MAGRPO with groups of 8, the small updates with groups of 4 too."""
SMALL = (
    ("b48", "b48-dc"),
    ("b48", "b48-magrpo"),
    ("b48", "magrpo-48"),
    ("b48-magrpo", "magrpo-48"),
    ("state", "b48"),
    ("state", "b48-strong"),
    ("state", "b48-dc"),
    ("state", "b48-magrpo"),
    ("state", "magrpo-48"),
    ("state-lam-0.8", "b48"),
    ("state-lam-0", "b48"),
    ("state-lam-0", "b48-lam-0"),
)
"""With updates of 48 episodes: CoLLM-CC, CoLLM-DC and MAGRPO with groups of 4 and of 8; a critic that is told the state."""

SHOWN = ("collm-cc", "lam-0", "lam-0.5", "warmup-0", "b48", "state", "magrpo", "magrpo-48")
"""What the figure shows."""


def few(studies: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """The arms that differ most, as a comparison of their own for figures."""
    if STUDY not in studies:
        return {}
    found = studies[STUDY]
    return {"why-few": Comparison((record for record in found.records if record["arm"] in SHOWN), found.study)}


def block(studies: Mapping[str, Comparison]) -> str:
    """The contrasts, for a page."""
    if STUDY not in studies:
        return "No cell is finished yet."
    return table(studies[STUDY]).markdown()


def table(found: Comparison) -> Table:
    """A row per change and per pair of methods: paired differences over seeds."""
    changes = [(group.arm, BASE) for group in found.of(SETTING) if group.arm != BASE and group.arm not in _small()]
    rows = []
    for arm, other in (*changes, *SIZES, *SMALL):
        final = found.difference(SETTING, arm, other)
        speed = gained(found.groups.get((SETTING, arm)), found.groups.get((SETTING, other)))
        if final is not None and speed is not None:
            rows.append((f"{arm} − {other}", str(final.seeds), final.text("+.1f"), speed.text("+.1f")))
    columns = ("pair", "seeds", "held-out score [95 %]", "area under the curve [95 %]")
    return Table("What one change does: paired differences", columns, tuple(rows))


def _small() -> set[str]:
    return {arm for pair in SMALL for arm in pair} - {"b48"}
