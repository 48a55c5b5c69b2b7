"""What a team scored, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from collm.evaluation.evaluate import Evaluation


def table(found: Sequence[Evaluation], title: str) -> Table:
    """One row per measure, one column per way of decoding."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    for evaluation in found:
        shown.add_column(evaluation.decoding, justify="right")
    for measure in found[0].rows:
        shown.add_row(measure, *(f"{evaluation.mean(measure):.3f}" for evaluation in found))
    for agent in range(len(found[0].contribution)):
        shown.add_row(f"contribution of agent {agent}", *(f"{e.contribution[agent]:.3f}" for e in found))
    return shown
