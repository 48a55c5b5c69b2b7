"""How the figures of an analysis look: colours, axes, curves."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from PIL import Image

from collm.evaluation.stats import wilson

# Okabe and Ito's colours, as in evaluation/curves.py.
BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, GREY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#6E6E6E",
)
STYLE = {
    "mareinforce": ("G", GREY, "s"),
    "mean-baseline": ("G − mean", PURPLE, "D"),
    "marloo": ("leave-one-out", GREEN, "^"),
    "magrpo": ("group mean", YELLOW, "v"),
    "maremax-greedy": ("greedy baseline", PURPLE, "D"),
    "collm-cc": ("CC", BLUE, "o"),
    "collm-dc": ("DC", ORANGE, "o"),
}


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG of 256 colours: a third of the size, and the eye sees the same."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=130)
    with Image.open(drawn) as image:
        fewer = image.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    fewer.save(path, format="png", optimize=True)
    return path


def sheet(rows: int, columns: int, title: str, height: float = 3.3) -> tuple[Figure, np.ndarray]:
    """A figure with (rows, columns) axes."""
    figure = Figure(figsize=(max(4.4 * columns + 0.6, 6.4), height * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12, fontweight="bold")
    axes = figure.subplots(rows, columns, squeeze=False)
    for one in axes.ravel():
        one.spines[["top", "right"]].set_visible(False)
        one.grid(alpha=0.25, linewidth=0.6)
        one.tick_params(labelsize=8)
    return figure, axes


def line(
    axes: Axes, x: Sequence[float], y: Sequence[float], name: str, label: str | None = None, style: str = "-"
) -> None:
    """One curve of an estimator."""
    text, colour, marker = STYLE[name]
    # CC and DC often coincide: an open, larger mark stays visible under the other one.
    hollow = {"markersize": 9, "markerfacecolor": "none"} if name == "collm-cc" else {"markersize": 5}
    axes.plot(x, y, color=colour, linestyle=style, marker=marker, linewidth=1.6, label=label or text, **hollow)


def shares(axes: Axes, names: Sequence[str], bars: Mapping[str, Sequence[tuple[float, int]]]) -> None:
    """Shares of seeds beside each name, one bar per label, each (share, number of seeds) with its 95 % interval."""
    height = 0.8 / len(bars)
    for place, (label, found) in enumerate(bars.items()):
        values = [share for share, _ in found]
        ends = [wilson(share, count) for share, count in found]
        errors = np.array([[s - low, high - s] for s, (low, high) in zip(values, ends, strict=True)]).T
        y = np.arange(len(names)) + (place - (len(bars) - 1) / 2) * height
        colour = (SKY, BLUE, GREEN, PURPLE, ORANGE, GREY)[place % 6]
        axes.barh(y, values, height, color=colour, label=label)
        axes.errorbar(values, y, xerr=np.abs(errors), fmt="none", ecolor="#333333", elinewidth=0.9)
    axes.set_yticks(np.arange(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)


def plain(value: float, _: int) -> str:
    """A tick as a plain number."""
    return f"{value:g}"


def finish(axes: Axes, title: str, x: str, y: str, ticks: Sequence[float] | None = None, legend: bool = True) -> None:
    """Titles, labels and legend of one panel."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    if ticks is not None:
        axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(plain))
    if legend:
        axes.legend(frameon=False, fontsize=8, handlelength=3)
