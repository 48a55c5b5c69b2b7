"""The long and the sparse settings of CoopHE and HouseBuild, from the study ``sweep``, and their quick form of ``main``."""

from __future__ import annotations

from collections.abc import Mapping

import results_gaps

from collm.analysis.folder import Table
from collm.comparison.data import Comparison

STUDY = "sweep"
ROWS = {
    (study, setting): f"{task}, {form}"
    for task, name in (("CoopHE", "coop-he"), ("HouseBuild", "house-build"))
    for study, setting, form in (
        ("main", name, "2 turns, dense"),
        (STUDY, f"{name}-4-dense", "4 turns, dense"),
        (STUDY, f"{name}-4-terminal", "4 turns, terminal"),
    )
}
"""Study and setting → its label."""


def block(studies: Mapping[str, Comparison]) -> str:
    """The contrasts, for a page."""
    return table(studies).markdown() if STUDY in studies else "No cell is finished yet."


def table(studies: Mapping[str, Comparison]) -> Table:
    """A row per setting."""
    return results_gaps.table(
        (label, [results_gaps.gap(studies[study], setting, contrast) for contrast in results_gaps.CONTRASTS])
        for (study, setting), label in ROWS.items()
    )
