"""The tables of ``collm analyze game``, from its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collm.analysis.folder import Table, number
from collm.analysis.select import Row, at_best_step, mean, middle, values_of, where
from collm.evaluation.stats import wilson


def game_tables(rows: Sequence[Row]) -> list[Table]:
    """One table per part of the study that was done."""
    tables = []
    estimators, drift = where(rows, kind="estimator"), where(rows, kind="drift")
    if estimators:
        tables += [_estimators(estimators, reward) for reward in values_of(estimators, "reward")]
    if drift:
        tables.append(_drift(drift))
    if found := where(rows, kind="convergence"):
        tables.append(_convergence(at_best_step(found)))
    return tables


def name_of(row: Row) -> str:
    """An estimator with what distinguishes it, e.g. ``collm-cc λ=0, stale``."""
    parts = [row["estimator"]]
    if row["group"] is not None:
        parts.append(f"K={row['group']}")
    if row["lam"] is not None:
        parts.append(f"λ={row['lam']:g}")
    return " ".join(parts) + (f", {row['values']}" if row["values"] else "")


def _estimators(rows: Sequence[Row], reward: str) -> Table:
    """Every estimator at the longest horizon and the middle of what is hidden."""
    horizon, hidden = values_of(rows, "horizon")[-1], middle(values_of(rows, "hidden"))
    chosen = where(rows, horizon=horizon, hidden=hidden, reward=reward, past=rows[0]["past"])
    names = list(dict.fromkeys(name_of(row) for row in chosen))
    body = []
    for name in names:
        own = [row for row in chosen if name_of(row) == name]
        spread = float(np.mean([np.sum(row["advantage_variance"]) for row in own]))
        numbers = [mean(own, "variance"), mean(own, "cost"), mean(own, "bias2") / mean(own, "gradient2")]
        numbers += [mean(own, "error") / mean(own, "gradient2"), spread]
        body.append((name, *map(number, numbers)))
    return Table(
        f"Game, H = {horizon}, {reward} reward, {hidden:g} hidden, past {rows[0]['past']:g}: mean over teams",
        ("estimator", "variance × env steps", "cost", "bias²/‖∇J‖²", "error/‖∇J‖²", "Σ Var A"),
        tuple(body),
    )


def _drift(rows: Sequence[Row]) -> Table:
    body = []
    horizon = values_of(rows, "horizon")[-1]
    for reward in values_of(rows, "reward"):
        for hidden in values_of(rows, "hidden"):
            own = where(rows, horizon=horizon, reward=reward, hidden=hidden)
            parts = [mean(own, name) for name in ("joint", "own", "future", "belief")]
            body.append((f"{reward}, {hidden:g} hidden", *map(number, parts), number(parts[1] / parts[0])))
    title = f"Game, H = {horizon}: mean squared change of the critics' targets per update"
    return Table(title, ("", "V(h)", "V_i(h_i)", "of it: V", "of it: P(h_−i given h_i)", "own/joint"), tuple(body))


def _convergence(rows: Sequence[Row]) -> Table:
    body = []
    for row in rows:
        low, high = wilson(row["failed"], row["seeds"])
        share = f"{100 * row['failed']:.0f} [{100 * low:.0f}, {100 * high:.0f}]"
        what = f"{name_of(row)}; H = {row['horizon']}, {row['reward']}"
        body.append((what, share, number(row["performance"] / row["optimum"]), number(row["lr"])))
    title = f"Game: seeds that made less than 90 % of the way to the optimum, of {rows[0]['seeds']}; best step size"
    return Table(title, ("method", "failed, % [95 %]", "mean J/J*", "step"), tuple(body))
