"""The figures of ``collm analyze game``, from its rows. Each shows one claim of docs/theory.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from collm.analysis.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, STYLE, finish, line, save, shares, sheet
from collm.analysis.select import Row, at_best_step, mean, middle, values_of, where


def draw_game(rows: Sequence[Row], out: Path) -> list[Path]:
    """Draw every figure for which there are rows; returns their paths."""
    estimators = where(rows, kind="estimator")
    drawings: list[tuple[str, Callable[[Sequence[Row]], Figure], Sequence[Row]]] = [
        ("horizon", _horizon, estimators),
        ("turns", _turns, estimators),
        ("hidden", _hidden, estimators),
        ("lambda", _lambda, estimators),
        ("stale", _stale, estimators),
        ("groups", _groups, estimators),
        ("drift", _drift, where(rows, kind="drift")),
        ("convergence", _convergence, where(rows, kind="convergence")),
    ]
    return [save(draw(found), out / f"figure-{name}.png") for name, draw, found in drawings if found]


def _setting(rows: Sequence[Row]) -> list[Row]:
    """The rows of the middle of what is hidden and of the first game."""
    return where(rows, hidden=middle(values_of(rows, "hidden")), past=rows[0]["past"])


def _smallest(rows: Sequence[Row]) -> float:
    return min(row["lam"] for row in rows if row["lam"] is not None)


def _horizon(rows: Sequence[Row]) -> Figure:
    """Variances relative to CC, which the sum of Var δ predicts: H for a late reward, about (H + 1)/2 for an even one."""
    rewards, horizons = values_of(rows, "reward"), values_of(rows, "horizon")
    lam = _smallest(rows)
    figure, panels = sheet(
        1, len(rewards), "Variance of the gradient at equal env steps, relative to CC with exact values"
    )
    chosen = _setting(rows)
    for axes, reward in zip(panels[0], rewards, strict=True):
        exact = [row for row in where(chosen, reward=reward) if _is_exact(row, lam)]
        base = [mean(where(exact, estimator="collm-cc", horizon=h), "variance") for h in horizons]
        for name in ("mareinforce", "mean-baseline", "collm-cc", "collm-dc"):
            found = [mean(where(exact, estimator=name, horizon=h), "variance") for h in horizons]
            label = f"{STYLE[name][0]}, λ={lam:g}" if name.startswith("collm") else None
            line(axes, horizons, [one / other for one, other in zip(found, base, strict=True)], name, label)
        guide, text = (horizons, "H") if reward == "terminal" else ([(h + 1) / 2 for h in horizons], "(H + 1)/2")
        axes.plot(horizons, guide, ":", color=GREY, linewidth=1.2, label=text)
        axes.set_ylim(0, max(5.0, *guide))
        finish(axes, f"{reward} reward", "turns H", "variance / that of CC", horizons)
    return figure


def _is_exact(row: Row, lam: float) -> bool:
    return row["values"] is None or (row["values"] == "exact" and row["lam"] == lam)


def _turns(rows: Sequence[Row]) -> Figure:
    rewards, horizon = values_of(rows, "reward"), values_of(rows, "horizon")[-1]
    hidden, lam = values_of(rows, "hidden")[-1], _smallest(rows)
    chosen = where(rows, hidden=hidden, past=rows[0]["past"], horizon=horizon)
    title = f"Variance of the advantage, turn by turn (H = {horizon}, {hidden:g} hidden)"
    figure, panels = sheet(1, len(rewards), title)
    turns = list(range(horizon))
    for axes, reward in zip(panels[0], rewards, strict=True):
        for name in ("mean-baseline", "collm-cc", "collm-dc"):
            found = [r for r in where(chosen, estimator=name, reward=reward) if _is_exact(r, lam)]
            spread = np.mean([row["advantage_variance"] for row in found], axis=0)
            total = f"{STYLE[name][0]}: sum {spread.sum():.2f}"
            line(axes, turns, spread.tolist(), name, total)
        axes.set_ylim(bottom=0)
        finish(axes, f"{reward} reward", "turn t", "Var A_t", turns)
    return figure


def _ratio(rows: Sequence[Row], total: bool) -> float:
    """DC over CC, mean over teams."""
    parts = [sorted(where(rows, estimator=name), key=lambda row: row["team"]) for name in ("collm-dc", "collm-cc")]

    def size(row: Row) -> float:
        return float(np.sum(row["advantage_variance"])) if total else float(row["variance"])

    return float(np.mean([size(own) / size(joint) for own, joint in zip(*parts, strict=True)]))


def _hidden(rows: Sequence[Row]) -> Figure:
    rewards, horizons = values_of(rows, "reward"), [h for h in values_of(rows, "horizon") if h > 1] or [1]
    lam = _smallest(rows)
    exact = [row for row in rows if row["values"] == "exact" and row["lam"] == lam]
    title = f"DC over CC with exact values, λ = {lam:g}: 1 where nothing is hidden, on either side of 1 elsewhere"
    figure, panels = sheet(2, len(rewards), title, height=2.9)
    for column, reward in enumerate(rewards):
        for place, horizon in enumerate(horizons):
            for past, dash in zip(dict.fromkeys(row["past"] for row in rows), ("-", "--", ":", "-."), strict=False):
                found = where(exact, reward=reward, horizon=horizon, past=past)
                x = values_of(found, "hidden")
                colour = (SKY, BLUE, GREEN, PURPLE, ORANGE, GREY)[place]
                for row, total in ((0, True), (1, False)):
                    y = [_ratio(where(found, hidden=one), total) for one in x]
                    label = f"H = {horizon}, past {past:+g}"
                    panels[row, column].plot(x, y, dash, color=colour, marker="o", markersize=4, label=label)
        for row, what in ((0, "Σ_t Var δ_t"), (1, "trace Var ĝ")):
            panels[row, column].axhline(1.0, color=GREY, linewidth=0.8)
            legend = (row, column) == (0, len(rewards) - 1)
            finish(panels[row, column], f"{what}, {reward} reward", "hidden", "DC / CC", legend=legend)
    for row in panels:
        low, high = _around_one(list(row))
        for axes in row:
            axes.set_ylim(low, high)
    return figure


def _around_one(panels: Sequence[Axes]) -> tuple[float, float]:
    """Limits that hold all curves of these panels, and 1."""
    every = [float(y) for axes in panels for curve in axes.lines for y in np.asarray(curve.get_ydata())]
    low, high = min([*every, 0.98]), max([*every, 1.02])
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _lambda(rows: Sequence[Row]) -> Figure:
    rewards, horizon = values_of(rows, "reward"), values_of(rows, "horizon")[-1]
    chosen = where(_setting(rows), horizon=horizon)
    title = f"Wrong values bias TD(λ); λ = 1 does not mind (H = {horizon}, relative to |∇J|²)"
    figure, panels = sheet(len(rewards), 3, title, height=2.9)
    for row, reward in enumerate(rewards):
        for column, name in enumerate(("bias2", "variance", "error")):
            axes = panels[row, column]
            for values, dash in (("exact", ":"), ("stale", "-"), ("fitted", "--")):
                for estimator in ("collm-cc", "collm-dc"):
                    found = where(chosen, reward=reward, values=values, estimator=estimator)
                    lams = values_of(found, "lam")
                    y = [mean(where(found, lam=one), name) / mean(found, "gradient2") for one in lams]
                    if name == "bias2" and values == "exact":
                        continue
                    text, colour, marker = STYLE[estimator]
                    axes.plot(lams, y, dash, color=colour, marker=marker, markersize=4, label=f"{text}, {values}")
            text = {"bias2": "bias²", "variance": "variance × env steps", "error": "error at the budget"}[name]
            finish(axes, f"{text}, {reward} reward", "λ", "", lams, legend=(row, column) == (0, 2))
            axes.set_ylim(bottom=0)
    return figure


def _stale(rows: Sequence[Row]) -> Figure:
    rewards, horizon, lam = values_of(rows, "reward"), values_of(rows, "horizon")[-1], _smallest(rows)
    title = f"Bias from values that are some updates old (H = {horizon}, λ = {lam:g})"
    figure, panels = sheet(1, len(rewards), title)
    chosen = [row for row in where(rows, horizon=horizon, past=rows[0]["past"], values="stale") if row["lam"] == lam]
    for axes, reward in zip(panels[0], rewards, strict=True):
        for name in ("collm-cc", "collm-dc"):
            found = where(chosen, reward=reward, estimator=name)
            x = values_of(found, "hidden")
            shares = [[row["bias2"] / row["gradient2"] for row in where(found, hidden=one)] for one in x]
            line(axes, x, [float(np.mean(one)) for one in shares], name)
            axes.fill_between(
                x, [min(one) for one in shares], [max(one) for one in shares], color=STYLE[name][1], alpha=0.15
            )
        axes.set_ylim(bottom=0)
        finish(axes, f"{reward} reward", "hidden", "bias²/|∇J|²: mean and range over teams", x)
    top = max(axes.get_ylim()[1] for axes in panels[0])
    for axes in panels[0]:
        axes.set_ylim(0, top)
    return figure


def _groups(rows: Sequence[Row]) -> Figure:
    rewards, horizon = values_of(rows, "reward"), values_of(rows, "horizon")[-1]
    chosen = where(_setting(rows), horizon=horizon)
    title = f"Env steps for equal variance, and what the group mean loses (H = {horizon})"
    figure, panels = sheet(1, len(rewards) + 1, title)
    compared = ("marloo", "magrpo", "maremax-greedy")
    groups = values_of(where(chosen, estimator="marloo"), "group")
    for axes, reward in zip(panels[0, :-1], rewards, strict=True):
        for name in compared:
            found = where(chosen, estimator=name, reward=reward)
            line(axes, groups, [mean(where(found, group=k), "cost") for k in groups], name)
        for name in ("collm-cc", "collm-dc"):
            found = [r for r in where(chosen, estimator=name, reward=reward) if _is_exact(r, _smallest(rows))]
            line(axes, groups, [mean(found, "cost")] * len(groups), name, f"{STYLE[name][0]}, exact values")
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        finish(axes, f"variance, {reward} reward", "group size K", "relative to leave-one-out", groups, legend=False)
    for name in compared:
        found = where(chosen, estimator=name, reward=rewards[-1])
        lost = [mean(where(found, group=k), "bias2") / mean(found, "gradient2") for k in groups]
        line(panels[0, -1], groups, lost, name)
    panels[0, -1].set_xscale("log")
    finish(panels[0, -1], "bias²/|∇J|²", "group size K", "", groups, legend=False)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def _drift(rows: Sequence[Row]) -> Figure:
    rewards, horizon = values_of(rows, "reward"), values_of(rows, "horizon")[-1]
    title = f"How far the critics' targets move per update (exact ascent, H = {horizon})"
    figure, panels = sheet(1, len(rewards), title)
    parts = (
        ("joint", "V(h), CC", BLUE, "-"),
        ("own", "V_i(h_i), DC", ORANGE, "-"),
        ("future", "of it: V moves", ORANGE, "--"),
        ("belief", "of it: P(h_−i | h_i) moves", PURPLE, "--"),
    )
    for axes, reward in zip(panels[0], rewards, strict=True):
        found = where(rows, reward=reward, horizon=horizon)
        x = values_of(found, "hidden")
        for name, label, colour, dash in parts:
            y = [mean(where(found, hidden=one), name) for one in x]
            axes.plot(x, y, dash, color=colour, marker="o", markersize=4, label=label)
        axes.set_ylim(bottom=0)
        finish(axes, f"{reward} reward", "hidden", "mean squared change", x)
    return figure


def _convergence(rows: Sequence[Row]) -> Figure:
    rewards, horizons = values_of(rows, "reward"), values_of(rows, "horizon")
    title = f"Seeds that made less than 90 % of the way to the optimum, of {rows[0]['seeds']}, and 95 % interval"
    found = at_best_step(rows)
    figure, panels = sheet(1, len(rewards), title, height=4.2)
    names = list(dict.fromkeys(_method(row) for row in found))
    for axes, reward in zip(panels[0], rewards, strict=True):
        bars = {}
        for horizon in horizons:
            own = {_method(row): row for row in where(found, reward=reward, horizon=horizon)}
            bars[f"H = {horizon}"] = [(own[name]["failed"], own[name]["seeds"]) for name in names]
        shares(axes, names, bars)
        finish(axes, f"{reward} reward", "share of seeds", "")
    return figure


def _method(row: Row) -> str:
    name = row["estimator"]
    return name if row["lam"] is None else f"{name} λ={row['lam']:g}, {row['values']}"
