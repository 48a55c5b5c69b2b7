"""The learning curves of a run as one figure: the score, and what explains it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy.signal import savgol_filter

Points = tuple[np.ndarray, np.ndarray]
"""Env steps and values of one curve, both (points,)."""

# Okabe and Ito's colours: they stay apart for the colour-blind and in print.
_BLUE, _ORANGE, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_AGENTS = (_BLUE, _ORANGE, _GREEN, _PURPLE, "#E69F00", "#56B4E9")
_GREY = "#6E6E6E"
_SMOOTHING = 0.1
"""The width of the moving average, as a part of the curve."""


def draw_curves(records: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """Draw the records of a run's metrics against env steps into the PNG ``path``, whole or not at all.

    Panels: score (train, validation, and the raw team as a line if a record has ``raw``), critic explained
    variance, contribution per agent, policy KL and clip fraction. A panel without data says so.
    """
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    grid = figure.add_gridspec(2, 4)
    _draw_score(figure.add_subplot(grid[:, :2]), records)
    _draw_small(
        figure.add_subplot(grid[0, 2]),
        records,
        "critic: explained variance",
        _GREEN,
        "critic",
        "explained_variance",
    )
    _draw_contribution(figure.add_subplot(grid[0, 3]), records)
    _draw_small(figure.add_subplot(grid[1, 2]), records, "policy: KL per update", _BLUE, "policy", "kl")
    _draw_small(figure.add_subplot(grid[1, 3]), records, "policy: clip fraction", _ORANGE, "policy", "clip_fraction")
    for axes in figure.axes:
        _dress(axes)
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, format="png", dpi=150)
    partial.replace(path)


def points(records: Sequence[Mapping[str, Any]], *keys: str | int) -> Points:
    """The finite values under nested keys, with their env steps; records without either are left out."""
    steps, values = [], []
    for record in records:
        step, value = _number(record, ("env_steps",)), _number(record, keys)
        if step is not None and value is not None:
            steps.append(step)
            values.append(value)
    return np.array(steps), np.array(values)


def smooth(values: np.ndarray) -> np.ndarray:
    """A centred moving average over about 10 % of the values, (points,) → (points,).

    At the ends a straight line is fitted: an average of one side would make a rising curve seem to end low.
    """
    if len(values) < 3:
        return values
    window = 2 * max(1, round(len(values) * _SMOOTHING / 2)) + 1
    return savgol_filter(values, window, polyorder=1)


def _number(record: Mapping[str, Any], keys: Sequence[str | int]) -> float | None:
    value: Any = record
    for key in keys:
        if isinstance(key, int):
            value = value[key] if isinstance(value, (list, tuple)) and key < len(value) else None
        else:
            value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _draw_score(axes: Axes, records: Sequence[Mapping[str, Any]]) -> None:
    raw = points([{"env_steps": 0, **record} for record in records], "raw", "score")[1]
    if len(raw):
        axes.axhline(raw[-1], color=_GREY, linestyle=(0, (5, 3)), linewidth=1.4, label=f"test, raw ({raw[-1]:.1f})")
    _draw_line(axes, points(records, "score"), _BLUE, "train")
    steps, values = points(records, "validation", "score")
    if len(values):
        label = f"validation ({values[-1]:.1f})"
        axes.plot(steps, values, "o-", color=_ORANGE, markersize=6, linewidth=1.8, label=label, zorder=3)
    axes.set_title("score (0–100)")
    if axes.has_data():
        axes.legend(frameon=False, loc="best", fontsize=10)


def _draw_contribution(axes: Axes, records: Sequence[Mapping[str, Any]]) -> None:
    agents = max((len(value) for record in records if isinstance(value := record.get("contribution"), list)), default=0)
    for agent in range(agents):
        colour = _AGENTS[agent % len(_AGENTS)]
        _draw_line(axes, points(records, "contribution", agent), colour, f"agent {agent}")
    axes.set_title("contribution")
    if agents:
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="best", fontsize=8)


def _draw_small(axes: Axes, records: Sequence[Mapping[str, Any]], title: str, colour: str, *keys: str) -> None:
    _draw_line(axes, points(records, *keys), colour, title)
    axes.set_title(title)


def _draw_line(axes: Axes, curve: Points, colour: str, label: str) -> None:
    steps, values = curve
    if len(values):
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8, marker=".", markersize=3)
        axes.plot(steps, smooth(values), color=colour, linewidth=2.0, label=label)


def _dress(axes: Axes) -> None:
    axes.title.set_fontsize(10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    if not axes.has_data():
        axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", va="center", color=_GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step / 1000:g}k" if step >= 1000 else f"{step:g}"))
    axes.set_xlabel("env steps", fontsize=8)
