"""The map: for which horizon, reward and visibility the central critic pays, from the study ``map``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import results_gaps
from results_gaps import CONTRASTS, Gap, gap

from collm.analysis.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, finish, save, sheet
from collm.analysis.folder import Table
from collm.comparison.data import Comparison

STUDY, FLAGSHIP = "map", ("main", "flagship")
"""The study of the map, and the setting of another one that is one of its own: 4 turns, terminal, partner hidden."""
HORIZONS = (1, 2, 4, 8)
ONE_TURN = ("either", "either")
FORMS = {
    ONE_TURN: ("1 turn: reward and partner make no difference", SKY, "P", 0.0),
    ("dense", "visible"): ("dense, partner visible", BLUE, "o", -0.21),
    ("dense", "hidden"): ("dense, partner hidden", GREEN, "s", -0.07),
    ("terminal", "visible"): ("terminal, partner visible", ORANGE, "^", 0.07),
    ("terminal", "hidden"): ("terminal, partner hidden", PURPLE, "D", 0.21),
}
"""Reward and visibility → label, colour, mark, and a shift, so that intervals do not cover each other."""
PLACES = [(1, ONE_TURN), *((horizon, form) for horizon in HORIZONS[1:] for form in FORMS if form != ONE_TURN)]
"""Horizon and form of every setting."""


def setting(horizon: int, reward: str, partner: str) -> tuple[str, str]:
    """Study and setting in its plan."""
    if (horizon, reward, partner) == (4, "terminal", "hidden"):
        return FLAGSHIP
    return STUDY, "h1" if horizon == 1 else f"h{horizon}-{reward}-{partner}"


Point = tuple[int, tuple[str, str], tuple[str, str]]
"""Horizon, form and contrast."""


def points(studies: Mapping[str, Comparison]) -> Iterator[tuple[Point, Gap]]:
    """Every difference that there is."""
    for contrast in CONTRASTS:
        for horizon, form in PLACES:
            study, name = setting(horizon, *form)
            found = gap(studies[study], name, contrast) if study in studies else None
            if found is not None:
                yield (horizon, form, contrast), found


def draw(studies: Mapping[str, Comparison], out: Path) -> None:
    """One figure: both contrasts against the horizon, a line per form."""
    if STUDY not in studies:
        return
    found = list(points(studies))
    figure, axes = sheet(1, len(CONTRASTS), "Score of CoLLM-CC minus the others' (StrBuild, persistent)", height=4.2)
    for panel, contrast in zip(axes[0], CONTRASTS, strict=True):
        panel.axhline(0, color=GREY, linewidth=0.9)
        for form, (label, colour, mark, shift) in FORMS.items():
            own = [(horizon, one.score) for (horizon, at, of), one in found if at == form and of == contrast]
            if not own:
                continue
            places = [HORIZONS.index(horizon) + shift for horizon, _ in own]
            panel.plot(places, [score.value for _, score in own], mark, color=colour, label=label, markersize=6)
            for place, (_, score) in zip(places, own, strict=True):
                if score.low is not None and score.high is not None:
                    panel.plot([place, place], [score.low, score.high], color=colour, linewidth=1.6)
        panel.set_xlim(-0.4, len(HORIZONS) - 0.6)
        panel.set_xticks(range(len(HORIZONS)), [str(horizon) for horizon in HORIZONS])
        finish(panel, " − ".join(contrast), "turns", "held-out score, difference (points)", legend=panel is axes[0][0])
    ends = [panel.get_ylim() for panel in axes[0]]
    for panel in axes[0]:
        panel.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
    out.mkdir(parents=True, exist_ok=True)
    save(figure, out / "map.png")


def block(studies: Mapping[str, Comparison]) -> str:
    """The figure and its numbers, for a page."""
    if STUDY not in studies:
        return "No cell is finished yet."
    figure = "![Differences of the held-out score against the number of turns](../images/results/map.png)"
    seeds = "Means over paired seeds (how many: table), lines 95 %."
    return f"{figure}\n\n{seeds}\n\n{table(studies).markdown()}"


def table(studies: Mapping[str, Comparison]) -> Table:
    """The numbers of the figure."""
    found = dict(points(studies)) if STUDY in studies else {}
    return results_gaps.table(
        (
            "1 turn" if form == ONE_TURN else f"{horizon} turns, {FORMS[form][0]}",
            [found.get((horizon, form, contrast)) for contrast in CONTRASTS],
        )
        for horizon, form in PLACES
    )
