"""Tables and figures of ``collm analyze TASK``, from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from collm.analysis.drawing import STYLE, finish, line, save, shares, sheet
from collm.analysis.folder import Table, number
from collm.analysis.game_tables import name_of
from collm.analysis.select import Row, where
from collm.analysis.team_drift import root_interval
from collm.evaluation.stats import wilson

_NOISE = 0.05
"""A bias that random signs reach this often is not told apart from noise."""


_KNOWN = {
    "problem": ("magrpo", "-", "the problem"),
    "own": ("collm-dc", "-", "one agent's history"),
    "joint": ("collm-cc", "-", "all histories"),
    "fitted own": ("collm-dc", ":", "critics per agent, fitted"),
    "fitted joint": ("collm-cc", ":", "central critic, fitted"),
    "fitted state": ("mareinforce", ":", "central critic that is told the state, fitted"),
}
"""The shares of ``knowable.py``: style, dashes and label of their curves. The last is there if it was asked for."""
_KNOWN_COLUMNS = ("problem", "own", "joint", "joint − own", "fitted own", "fitted joint", "fitted state")


def team_tables(rows: Sequence[Row]) -> list[Table]:
    """One table per variation, for each part of the study that was done."""
    found = [
        _table(where(rows, kind="estimator", variation=name), where(rows, kind="team", variation=name)[0])
        for name in _names(where(rows, kind="team"))
    ]
    knowable, drift, convergence = (where(rows, kind=kind) for kind in ("knowable", "drift", "convergence"))
    found += [_knowable_table(name, where(knowable, variation=name)) for name in _names(knowable)]
    found += [_drift_table(name, where(drift, variation=name)) for name in _names(drift)]
    return found + [_convergence_table(name, where(convergence, variation=name)) for name in _names(convergence)]


def draw_team(rows: Sequence[Row], out: Path) -> list[Path]:
    """The figures of each part that was done: cost and variance turn by turn, what can be known, drift, failures; one panel
    per variation."""
    figures = []
    kinds = ("estimator", "knowable", "drift", "convergence")
    estimators, knowable, drift, convergence = (where(rows, kind=kind) for kind in kinds)
    if estimators:
        groups = {name: where(estimators, variation=name) for name in _names(estimators)}
        figures += [save(_costs(groups), out / "figure-cost.png"), save(_turns(groups), out / "figure-turns.png")]
    if knowable:
        figures.append(save(_knowable_figure(knowable), out / "figure-knowable.png"))
    if drift:
        figures.append(save(_drift_figure(drift), out / "figure-drift.png"))
    if convergence:
        figures.append(save(_convergence_figure(convergence), out / "figure-convergence.png"))
    return figures


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
        colours = [STYLE.get(row["estimator"].partition(",")[0], ("", "#6E6E6E", ""))[1] for row in rows]
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


def _knowable_table(variation: str, rows: Sequence[Row]) -> Table:
    body, columns = [], [name for name in _KNOWN_COLUMNS if name in rows[0]]
    for row in rows:
        shares = (_percent(row[name], row[f"{name}_error"]) for name in columns)
        body.append((f"{row['turn'] + 1}", number(row["variance"]), *shares, f"{row['again']}/{row['histories']}"))
    title = (
        f"{variation}: % of the variance of returns that is known from the problem, one agent's history (own) and all "
        "(joint), or explained by fitted critics; ± standard error over problems"
    )
    return Table(title, ("turn", "Var G", *columns, "met again"), tuple(body))


def _percent(share: float | None, error: float | None) -> str:
    return "–" if share is None or error is None else f"{100 * share:.0f}±{100 * error:.0f}"


def _knowable_figure(rows: Sequence[Row]) -> Figure:
    names = _names(rows)
    figure, panels = sheet(1, len(names), "What can be known of the return, turn by turn")
    for axes, name in zip(panels[0], names, strict=True):
        own = where(rows, variation=name)
        turns = [row["turn"] + 1 for row in own]
        for column, (style, dashes, label) in _KNOWN.items():
            if column not in own[0]:
                continue
            keys = (column, f"{column}_error")
            value, error = (100 * np.array([row[key] for row in own], dtype=float) for key in keys)
            line(axes, turns, list(value), style, label, dashes)
            axes.fill_between(turns, value - error, value + error, color=STYLE[style][1], alpha=0.12)
        finish(axes, name, "turn", "share of the variance, %", turns)
    return figure


def _drift_table(variation: str, rows: Sequence[Row]) -> Table:
    body = []
    for row in rows:
        known = f"{row['compared']} of {row['histories']}"
        more = f"{number(row['difference'])} ± {number(row['difference_error'])}"
        moved = f"{number(row['return'][0])} → {number(row['return'][1])}"
        joint, own = _root(row, "joint"), _root(row, "own")
        body.append((f"{row['update']}", moved, joint, own, more, known))
    title = (
        f"{variation}: drift of the critics' targets while {rows[0]['method']} trains, RMS over fixed histories in units "
        f"of the return's standard deviation {number(rows[0]['spread'])}"
    )
    if cut := sum(row["cut"] for row in rows):
        title += f"; {cut} continuations were cut from outside"
    columns = ("updates", "return", "V(h), CC [95 %]", "V_i(h_i), DC [95 %]", "DC² − CC²", "histories")
    return Table(title, columns, tuple(body))


def _root(row: Row, name: str) -> str:
    value, low, high = root_interval(row, name)
    return f"{number(value)} [{number(low)}, {number(high)}]"


def _drift_figure(rows: Sequence[Row]) -> Figure:
    names = _names(rows)
    figure, panels = sheet(1, len(names), f"How far the critics' targets move while {rows[0]['method']} trains")
    for axes, name in zip(panels[0], names, strict=True):
        own = where(rows, variation=name)
        updates = [row["update"] for row in own]
        for column, critic in (("joint", "collm-cc"), ("own", "collm-dc")):
            middle, low, high = np.array([root_interval(row, column) for row in own]).T
            label, colour, _ = STYLE[critic]
            line(axes, updates, list(middle), critic, f"{'V(h)' if column == 'joint' else 'V_i(h_i)'}, {label}")
            axes.fill_between(updates, low, high, color=colour, alpha=0.15)
        axes.set_ylim(bottom=0)
        finish(axes, name, "updates between", "RMS change / SD of the return", updates)
    return figure


def _convergence_table(variation: str, rows: Sequence[Row]) -> Table:
    body = []
    for row in rows:
        low, high = wilson(row["failed"], row["seeds"])
        share = f"{100 * row['failed']:.0f} [{100 * low:.0f}, {100 * high:.0f}]"
        steps = f"{row['reached']:.0f}" if row["reached"] is not None else f"above {row['budget']}"
        arrived = f"{row['arrived']} of {row['seeds']}"
        body.append((name_of(row), share, f"{100 * row['closed']:.0f} %", steps, arrived))
    part = f"{100 * rows[0]['part']:.0f} %"
    title = f"{variation}: seeds that closed less than {part} of the gap to 100, of {rows[0]['seeds']}"
    columns = ("method", "failed, % [95 %]", "gap closed, mean", f"env steps to {part}, median", "came there")
    return Table(title, columns, tuple(body))


def _convergence_figure(rows: Sequence[Row]) -> Figure:
    part, names = f"{100 * rows[0]['part']:.0f} %", list(dict.fromkeys(name_of(row) for row in rows))
    bars = {}
    for variation in _names(rows):
        own = {name_of(row): row for row in where(rows, variation=variation)}
        bars[variation] = [(own[name]["failed"], own[name]["seeds"]) for name in names]
    title = f"Seeds that closed less than {part} of the gap, of {rows[0]['seeds']}"
    figure, panels = sheet(1, 1, title, height=0.3 * len(names) * len(bars) + 1.4)
    shares(panels[0, 0], names, bars)
    finish(panels[0, 0], "", "share of seeds, and 95 % interval", "")
    return figure
