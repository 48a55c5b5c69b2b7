"""Choosing and averaging rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from collm.analysis.folder import Row


def where(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    """The rows with these values."""
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def values_of(rows: Sequence[Row], name: str) -> list[Any]:
    """The different values under a name, in order."""
    return sorted({row[name] for row in rows})


def mean(rows: Sequence[Row], name: str) -> float:
    """The mean of a number over rows."""
    return float(np.mean([row[name] for row in rows]))


def middle(values: Sequence[Any]) -> Any:
    """The middle one of sorted values."""
    return values[len(values) // 2]


def at_best_step(rows: Sequence[Row]) -> list[Row]:
    """Of convergence rows that differ in the step size only, the one in which fewest seeds fail."""
    best: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in ("horizon", "reward", "estimator", "values", "lam"))
        score = (row["failed"], -row["performance"])
        if key not in best or score < (best[key]["failed"], -best[key]["performance"]):
            best[key] = row
    return list(best.values())
