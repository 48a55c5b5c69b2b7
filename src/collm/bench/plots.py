"""Figures of a benchmark: cost against what grows, and scores against seconds of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from collm.analysis.drawing import BLUE, GREY, ORANGE, finish, plain, save, sheet

_SIDES = {"ours": ("CoLLM", BLUE, "o"), "theirs": ("CoMLRL", ORANGE, "s")}
_LABELS = {
    "agents": "agents",
    "turns": "turns",
    "tokens": "tokens of a response",
    "episodes": "episodes per update",
}


def draw_sweeps(sweeps: Mapping[str, Mapping[str, Any]], path: Path) -> Path:
    """Seconds per episode (of the batch: per env step) against each size, log-log, with the fitted exponents."""
    figure, axes = sheet(1, len(sweeps), "cost of an update")
    for panel, (name, sweep) in zip(axes[0], sweeps.items(), strict=True):
        cost = "per_env_step" if name == "episodes" else "per_episode"
        sizes = [row["value"] for row in sweep["rows"]]
        for side, (label, colour, marker) in _SIDES.items():
            if side not in sweep:
                continue
            costs = [row[side][cost] for row in sweep["rows"]]
            text = f"{label}, exponent {sweep[side][f'exponent_{cost}']:.2f}"
            panel.plot(sizes, costs, color=colour, marker=marker, linewidth=1.6, label=text)
        panel.set_xscale("log")
        panel.set_yscale("log")
        if name != "episodes":
            rows = sweep["rows"]
            _guide(panel, sizes, rows[0]["ours"][cost], [size / sizes[0] for size in sizes], (5, 3), "in proportion")
            flops = [row["work"][cost] / rows[0]["work"][cost] for row in rows]
            _guide(panel, sizes, rows[0]["ours"][cost], flops, (1, 2), "in proportion to FLOPs")
        finish(panel, name, _LABELS[name], f"seconds {cost.replace('_', ' ')}", sizes)
        panel.yaxis.set_major_formatter(FuncFormatter(plain))
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_minor_locator(NullLocator())
    return save(figure, path)


def _guide(
    panel: Any, sizes: Sequence[float], first: float, factors: Sequence[float], dash: tuple[int, int], label: str
) -> None:
    """What the first cost would become with these factors."""
    costs = [first * factor for factor in factors]
    panel.plot(sizes, costs, color=GREY, linestyle=(0, dash), linewidth=1.2, label=label)


def draw_target(found: Mapping[str, Any], path: Path) -> Path:
    """Held-out score against seconds of training, run by run."""
    figure, axes = sheet(1, 1, "StrBuild, held-out score")
    panel = axes[0, 0]
    for side, (label, colour, marker) in _SIDES.items():
        for place, run in enumerate(found[side]):
            text = label if side == "ours" else f"{label}, learning rate {run['lr']:g}"
            first = place == 0 if side == "ours" else run["seed"] == found[side][0]["seed"]
            dash = ("-", "--", ":", "-.")[place % 4] if side == "theirs" else "-"
            _curve(panel, run["curve"], colour, marker, dash, text if first else None)
    panel.axhline(found["aim"]["score"], color=GREY, linestyle=(0, (5, 3)), linewidth=1.2)
    panel.set_xscale("symlog", linthresh=1)
    panel.set_xlim(left=0)
    panel.xaxis.set_major_formatter(FuncFormatter(plain))
    finish(panel, "time to target", "seconds of training", "score")
    return save(figure, path)


def _curve(
    panel: Any, curve: Sequence[Mapping[str, float]], colour: str, marker: str, dash: str, label: str | None
) -> None:
    seconds, scores = [point["seconds"] for point in curve], [point["score"] for point in curve]
    style = {"color": colour, "marker": marker, "linestyle": dash, "markersize": 3, "linewidth": 1.2}
    panel.plot(seconds, scores, alpha=0.8, label=label, **style)
