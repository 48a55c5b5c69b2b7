"""The figures of a comparison. Bands and bars are 95 % intervals over seeds; without them there was one seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from collm.analysis.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, YELLOW, finish, save, sheet
from collm.comparison.data import Comparison, Group
from collm.comparison.tables import pairs
from collm.evaluation import stats
from collm.evaluation.stats import Estimate

COLOURS: Mapping[str, str] = {
    "collm-cc": BLUE,
    "collm-dc": ORANGE,
    "magrpo": GREEN,
    "grpo": YELLOW,
    "ac": PURPLE,
    "raw": "#BBBBBB",
    "parallel": "#999999",
    "pipeline": "#777777",
    "discussion": "#444444",
}
_OTHERS = (SKY, ORANGE, GREEN, PURPLE, YELLOW, "#7A4EAB", "#8C510A", "#01665E", "#A50F15", "#5E8C31", BLUE, GREY)
_POINTS = 60
_NAMED = 12
"""Most names in a panel."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A figure on the disk."""

    title: str
    path: Path
    text: str
    """What a reader sees in it."""


class Drawer:
    """Draws a comparison into a folder."""

    def __init__(self, found: Comparison, out: Path) -> None:
        self.found, self.out = found, out
        rest = [arm for arm in found.arms if arm not in COLOURS]
        taken = {COLOURS[arm] for arm in found.arms if arm in COLOURS}
        spare = [colour for colour in _OTHERS if colour not in taken]
        self.colours = {**COLOURS, **{arm: spare[place % len(spare)] for place, arm in enumerate(rest)}}

    @property
    def few(self) -> bool:
        """Whether the arms' names fit into a panel; colours are those of the scores."""
        return len(self.found.arms) <= _NAMED

    def all(self) -> Iterator[Drawn]:
        """Every figure that there is something for; one arm alone is not compared."""
        self.out.mkdir(parents=True, exist_ok=True)
        several = len(self.found.groups) > 1
        if several:
            yield self._bars()
        trained = [s for s in self.found.settings if any(group.trained for group in self.found.of(s))]
        if not trained:
            return
        yield self._curves(trained, "env_steps", "env steps", "Training score against env steps", "curves")
        yield self._curves(trained, "seconds", "seconds of training", "Training score against wall-clock", "seconds")
        if any(len(group.records) > 1 for group in self.found.groups.values() if group.trained):
            yield self._profiles(trained)
        gaps = {setting: list(self._gaps(setting)) for setting in trained}
        if any(gaps.values()):
            yield self._pairs({setting: found for setting, found in gaps.items() if found})
        yield self._inside(trained)
        if several:
            yield self._hardened()

    def _sheet(self, settings: Sequence[str], title: str, lines: int = 0) -> tuple[Figure, list[Axes]]:
        """A panel per setting, each high enough for so many lines of text beside it."""
        columns = min(3, len(settings))
        rows = -(-len(settings) // columns)
        figure, axes = sheet(rows, columns, title, height=max(3.3, 0.8 + 0.21 * lines))
        for spare in axes.ravel()[len(settings) :]:
            spare.set_visible(False)
        return figure, list(axes.ravel()[: len(settings)])

    def _bars(self) -> Drawn:
        settings = self.found.settings
        figure, axes = self._sheet(
            settings, "Held-out score of every arm", max(len(self.found.of(s)) for s in settings)
        )
        for panel, setting in zip(axes, settings, strict=True):
            groups = self.found.of(setting)
            for place, group in enumerate(groups):
                mean = stats.mean(group.scores)
                panel.barh(place, mean.value, color=self.colours[group.arm], alpha=0.75)
                _whisker(panel, mean, place)
                panel.plot(group.scores, [place] * len(group.scores), "|", color="#222222", markersize=5)
            panel.set_yticks(range(len(groups)), [f"{g.arm} ({len(g.records)})" for g in groups], fontsize=8)
            panel.invert_yaxis()
            panel.grid(visible=False, axis="y")
            # Whiskers of few seeds reach further than any score can.
            values = [score for group in groups for score in group.scores]
            panel.set_xlim(min(0.0, *values), max(102.0, *values))
            finish(panel, setting, "score (0–100)", "", legend=False)
        text = (
            "Bars: mean over seeds (their number in brackets); lines: 95 % Student interval, cut where the scale ends; "
            "ticks: single seeds."
        )
        return Drawn("Scores", save(figure, self.out / "scores.png"), text)

    def _curves(self, settings: Sequence[str], x: str, label: str, title: str, name: str) -> Drawn:
        figure, axes = self._sheet(settings, title)
        for panel, setting in zip(axes, settings, strict=True):
            for group in self._trained(setting):
                self._band(panel, group, _scores(group, x))
            finish(panel, setting, label, "score (0–100)", legend=False)
        self._legend(axes[0])
        text = "Mean over seeds of the score on each update's training problems, from the raw team on; bands: 95 % Student."
        return Drawn(title, save(figure, self.out / f"{name}.png"), text)

    def _band(self, panel: Axes, group: Group, curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """The mean of a group's curves where all seeds have one. Each is its places and its values there."""
        grid = np.linspace(max(places[0] for places, _ in curves), min(places[-1] for places, _ in curves), _POINTS)
        rows = np.stack([np.interp(grid, *curve) for curve in curves])
        colour = self.colours[group.arm]
        # With few seeds a band may be wider than all values: it is cut at a little beyond them.
        low, high = (float(end) for end in (rows.min(), rows.max()))
        margin = 0.05 * (high - low)
        mark = "." if grid[0] == grid[-1] else None
        panel.plot(grid, rows.mean(0), marker=mark, color=colour, linewidth=1.8, linestyle=_line(group))
        if len(rows) > 1:
            half = stats.half_widths(rows)
            band = np.clip([rows.mean(0) - half, rows.mean(0) + half], low - margin, high + margin)
            panel.fill_between(grid, *band, color=colour, alpha=0.15, linewidth=0)

    def _profiles(self, settings: Sequence[str]) -> Drawn:
        figure, axes = self._sheet(settings, "Performance profiles: share of seeds above a score")
        for panel, setting in zip(axes, settings, strict=True):
            groups = self._trained(setting)
            low = min(min(group.scores) for group in groups) - 3
            levels = np.linspace(low, 101, 120)
            for group in groups:
                shape = stats.profile(group.scores, levels)
                colour = self.colours[group.arm]
                panel.step(levels, shape.share, color=colour, linewidth=1.8, label=group.arm, linestyle=_line(group))
                # Where all seeds are above or below, the bands of all arms are the same, and would cover each other.
                inside = (levels >= min(group.scores) - 1) & (levels <= max(group.scores) + 1)
                ends = (shape.low[inside], shape.high[inside])
                panel.fill_between(levels[inside], *ends, color=colour, alpha=0.1, step="pre", linewidth=0)
            finish(panel, setting, "held-out score", "share of seeds", legend=panel is axes[0] and self.few)
        text = "Further right is better; steep means that seeds agree. Bands: Wilson's 95 % at each score."
        return Drawn("Performance profiles", save(figure, self.out / "profiles.png"), text)

    def _pairs(self, gaps: Mapping[str, Sequence[tuple[str, Estimate]]]) -> Drawn:
        most = max(map(len, gaps.values()))
        figure, axes = self._sheet(list(gaps), "Differences of the held-out score, seed by seed", most)
        for panel, (setting, found) in zip(axes, gaps.items(), strict=True):
            forest(panel, found)
            finish(panel, setting, "score points", "", legend=False)
        text = (
            "Paired over seeds and problems; lines: 95 % Student. Blue: the first is higher; orange: lower; grey: open."
        )
        return Drawn("Paired differences", save(figure, self.out / "differences.png"), text)

    def _gaps(self, setting: str) -> Iterator[tuple[str, Estimate]]:
        """The paired differences of a setting that have an interval, by their name."""
        for arm, other in pairs([group.arm for group in self._trained(setting)]):
            gap = self.found.difference(setting, arm, other)
            if gap is not None and gap.known:
                yield f"{arm} − {other}", gap

    def _inside(self, settings: Sequence[str]) -> Drawn:
        """What learning looked like from within: critics, advantages, gradients."""
        kinds: list[tuple[str, str, Callable[[Axes], object] | None]] = [
            ("explained_variance", "critic: explained variance", lambda panel: panel.set_ylim(-0.5, 1)),
            ("spread", "spread of advantages", None),
            ("gradient_signal", "gradient: share of signal", None),
            ("entropy", "entropy, nats per token", None),
        ]
        kinds = [kind for kind in kinds if any(g.curve(kind[0]) for s in settings for g in self._trained(s))]
        figure, axes = sheet(len(settings), len(kinds), "Inside training", height=2.6)
        for row, setting in zip(axes, settings, strict=True):
            for panel, (name, title, shape) in zip(row, kinds, strict=True):
                for group in self._trained(setting):
                    curves = group.curve(name)
                    if curves:
                        self._band(panel, group, curves)
                if shape is not None:
                    shape(panel)
                finish(panel, f"{setting}: {title}" if panel is row[0] else title, "env steps", "", legend=False)
        self._legend(axes[0, 0])
        text = "Mean over seeds; bands: 95 % Student. The gradient's share that is not signal is variance."
        return Drawn("Inside training", save(figure, self.out / "inside.png"), text)

    def _hardened(self) -> Drawn:
        """Score under the released reward and under the one hardened against gaming."""
        lines = len(self.found.arms) + len(self.found.settings)
        figure, axes = sheet(1, 1, "Reward hacking: released against hardened reward", height=max(3.6, 0.2 * lines))
        panel = axes[0, 0]
        marks = "osD^vP*X"
        for place, setting in enumerate(self.found.settings):
            for group in self.found.of(setting):
                x, y = group.after("score_paper"), group.after("score_hardened")
                if x and y:
                    mark = marks[place % len(marks)]
                    panel.plot(np.mean(x), np.mean(y), mark, color=self.colours[group.arm], markersize=7)
        for place, setting in enumerate(self.found.settings):
            panel.plot([], [], marks[place % len(marks)], color=GREY, label=setting)
        for arm in self.found.arms:
            panel.plot([], [], color=self.colours[arm], linewidth=3, label=arm)
        panel.plot([0, 100], [0, 100], color=GREY, linewidth=0.8, linestyle=":")
        finish(panel, "one mark per arm and setting", "score, released reward", "score, hardened reward", legend=False)
        panel.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
        text = (
            "On the dotted line both rewards agree. Far below it a team earns what the released reward pays for, and nobody "
            "wants."
        )
        return Drawn("Hardened against released", save(figure, self.out / "hardened.png"), text)

    def _legend(self, panel: Axes) -> None:
        """Colours of the trained arms, those of other panels too; of a single panel also how many seeds, if they differ."""
        if self.few:
            trained = {group.arm: group for group in self.found.groups.values() if group.trained}
            counts = {len(group.records) for group in trained.values()}
            counted = len(self.found.settings) == 1 and len(counts) > 1
            for arm, group in trained.items():
                label = f"{arm} ({len(group.records)})" if counted else arm
                panel.plot([], [], color=self.colours[arm], linewidth=1.8, label=label, linestyle=_line(group))
            panel.legend(frameon=False, fontsize=7)

    def _trained(self, setting: str) -> list[Group]:
        return [group for group in self.found.of(setting) if group.trained]


def _scores(group: Group, x: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The training scores of every seed, from the raw team on."""
    return [
        (np.array([0.0, *record["curve"][x]]), np.array([raw, *record["curve"]["score"]]))
        for record, raw in zip(group.records, group.before("score") or [], strict=True)
    ]


def _line(group: Group) -> str:
    """One model in all roles plays another form of the task: dashed."""
    return "--" if group.records[0]["single"] else "-"


def _whisker(panel: Axes, mean: Estimate, place: float, colour: str = "#222222") -> None:
    if mean.low is not None and mean.high is not None:
        panel.plot([mean.low, mean.high], [place, place], color=colour, linewidth=1.6)


def forest(panel: Axes, found: Sequence[tuple[str, Estimate]]) -> None:
    """Estimates with their intervals beside each other, against 0."""
    panel.axvline(0, color=GREY, linewidth=0.8)
    for place, (_, gap) in enumerate(found):
        colour = {1: BLUE, -1: ORANGE, 0: GREY}[gap.sign]
        panel.plot(gap.value, place, "o", color=colour, markersize=5)
        _whisker(panel, gap, place, colour)
    panel.set_yticks(range(len(found)), [f"{name} ({gap.seeds})" for name, gap in found], fontsize=8)
    panel.invert_yaxis()
