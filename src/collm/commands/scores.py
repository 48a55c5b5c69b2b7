"""What a team scored, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from collm.evaluation.evaluate import Evaluation

MEANINGS = {
    "score": "0 to 100: what is compared",
    "paper": "the reward as it was released",
    "hardened": "the reward with its gaps closed",
    "score_paper": "score by the released reward",
    "score_hardened": "score by the closed one",
    "paper_score": "what the paper's table prints",
}
"""What the measures whose names do not say it are; docs/metrics.md has all."""


def table(found: Sequence[Evaluation], title: str) -> Table:
    """One row per measure, one column per way of decoding, and what the measure is where its name does not say it."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    for evaluation in found:
        shown.add_column(evaluation.decoding, justify="right")
    shown.add_column("", style="dim")
    for measure in found[0].rows:
        shown.add_row(measure, *(f"{e.mean(measure):.3f}" for e in found), MEANINGS.get(measure, ""))
    for agent in range(len(found[0].contribution)):
        shown.add_row(f"contribution of agent {agent}", *(f"{e.contribution[agent]:.3f}" for e in found))
    shown.add_row("seconds per problem", *(f"{e.cost.seconds:.3f}" for e in found))
    for agent in range(len(found[0].contribution)):
        shown.add_row(f"tokens by agent {agent}", *(f"{e.cost.written.mean(0)[agent]:.1f}" for e in found))
    return shown
