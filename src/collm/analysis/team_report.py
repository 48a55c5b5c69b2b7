"""Tables and figures of ``collm analyze TASK``, from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from collm.analysis.drawing import STYLE, finish, line, save, sheet
from collm.analysis.folder import Table, number
from collm.analysis.game_tables import name_of
from collm.analysis.select import Row, where

_NOISE = 0.05
"""A bias that random signs reach this often is not told apart from noise."""


def team_tables(rows: Sequence[Row]) -> list[Table]:
    """One table per variation."""
    return [
        _table(where(rows, kind="estimator", variation=name), where(rows, kind="team", variation=name)[0])
        for name in _names(rows)
    ]


def draw_team(rows: Sequence[Row], out: Path) -> list[Path]:
    """The cost of every estimator, and the variance of advantages turn by turn; one panel per variation."""
    names = _names(rows)
    groups = {name: where(rows, kind="estimator", variation=name) for name in names}
    costs, height = _costs(groups), _turns(groups)
    return [save(costs, out / "figure-cost.png"), save(height, out / "figure-turns.png")]


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["variation"] for row in rows))


def _table(rows: Sequence[Row], team: Row) -> Table:
    body = []
    for row in rows:
        slope = row["gradient2"]
        if not _is_biased(row):
            bent = "noise"
        else:
            bent = f"{number(row['bias2'] / slope)} ± {number(row['bias2_error'] / slope)}" if slope > 0 else "?"
        spread = f"{number(row['variance'])} ± {number(row['variance_error'])}"
        total = number(float(np.sum(row["advantage_variance"])))
        body.append((name_of(row), spread, number(row["cost"]), bent, total))
    explained = ", ".join(f"{view} {number(share)}" for view, share in team["explained"].items())
    title = (
        f"{team['variation']}: return {number(team['return'])}, {number(team['turns'])} turns; "
        f"returns explained by the critics: {explained}"
    )
    return Table(title, ("estimator", "variance·steps", "cost", "bias²/‖∇J‖²", "Σ Var A"), tuple(body))


def _costs(groups: dict[str, list[Row]]) -> Figure:
    count = len(next(iter(groups.values())))
    figure, panels = sheet(1, len(groups), "Env steps for equal variance (leave-one-out: 1)", height=0.24 * count + 0.8)
    for axes, (name, rows) in zip(panels[0], groups.items(), strict=True):
        labels = [name_of(row) + (" (biased)" if _is_biased(row) else "") for row in rows]
        errors = [row["variance_error"] * row["cost"] / row["variance"] for row in rows]
        colours = [STYLE.get(row["estimator"], ("", "#6E6E6E", ""))[1] for row in rows]
        axes.barh(np.arange(count), [row["cost"] for row in rows], 0.7, xerr=errors, color=colours, ecolor="#333333")
        axes.set_yticks(np.arange(count), labels, fontsize=8)
        axes.invert_yaxis()
        axes.axvline(1.0, color="#333333", linewidth=0.8)
        finish(axes, name, "cost, and its standard error over problems", "", legend=False)
    return figure


def _is_biased(row: Row) -> bool:
    return bool(row["bias_chance"] <= _NOISE)


def _turns(groups: dict[str, list[Row]]) -> Figure:
    figure, panels = sheet(1, len(groups), "Variance of the advantage, turn by turn")
    for axes, (name, rows) in zip(panels[0], groups.items(), strict=True):
        lam = min(row["lam"] for row in rows if row["lam"] is not None)
        for row in rows:
            if row["estimator"] == "mean-baseline" or (row["estimator"] in STYLE and row["lam"] == lam):
                spread = row["advantage_variance"]
                text = f"{STYLE[row['estimator']][0]}: sum {number(float(np.sum(spread)))}"
                line(axes, range(len(spread)), spread, row["estimator"], text)
        axes.set_ylim(bottom=0)
        finish(axes, name, "turn t", "Var A_t", range(len(rows[0]["advantage_variance"])))
    return figure
