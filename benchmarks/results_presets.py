"""What the preset ``default`` of CoLLM-CC has over ``paper``, ingredient by ingredient, from the study ``presets``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from collm.analysis.folder import Table
from collm.comparison.data import Comparison, Group, paired
from collm.evaluation import stats
from collm.evaluation.stats import Estimate

STUDY, SETTING, THIRD = "presets", "str-build", ("str-build-third", "third")
FIRST, SECOND, SAMPLED, LAST = "paper", "paper-3e-5", "sampling", "default"
"""Of the arms: the released settings with two learning rates, those with the other preset's sampling, and that preset."""
SMOOTH = 5
"""Updates over which a training score is averaged where single ones are too noisy."""


def block(studies: Mapping[str, Comparison]) -> str:
    """The table and what it says about the bar, for a page."""
    if STUDY not in studies:
        return "No cell is finished yet."
    if (SETTING, FIRST) not in studies[STUDY].groups:
        return f"The table waits for the first cell of `{FIRST}`."
    found = studies[STUDY]
    return "\n".join([table(found).markdown(), "", *(f"* {line}" for line in lines(found))])


def table(found: Comparison) -> Table:
    """A row per arm, each with one more ingredient than the one above."""
    groups = found.of(SETTING)
    rows = []
    for place, group in enumerate(groups):
        above = "–" if place == 0 else _text(paired(group, groups[place - 1]))
        rows.append(
            (
                group.arm,
                str(len(group.records)),
                stats.mean(group.scores).text(),
                f"{np.mean(group.after('score', 'greedy') or np.nan):.1f}",
                stats.mean(closed(group)).text(".2f"),
                above,
                stats.mean(group.areas()).text(),
                f"{np.median(seconds(group)):.0f}",
            )
        )
    columns = (
        "held-out score [95 %]",
        "greedy",
        "gap closed",
        "over the arm above",
        "area under the curve",
        "median seconds",
    )
    return Table("From the preset paper to the preset default", ("arm", "seeds", *columns), tuple(rows))


def lines(found: Comparison) -> list[str]:
    """Final levels against each other: at the same budget, and of a third of it."""
    made = []
    for other, place in itertools.product((FIRST, SECOND, SAMPLED), ((SETTING, LAST), THIRD)):
        group, base = found.groups.get(place), found.groups.get((SETTING, other))
        gap = None if group is None or base is None else paired(group, base)
        if group is not None and base is not None and gap is not None:
            made.append(
                f"`default` with {group.budget:,} env steps − `{other}` with {base.budget:,}: {_text(gap)} points, "
                f"{gap.seeds} paired seeds{verdict(gap)}."
            )
    return made + [line for other in (FIRST, SECOND) if (line := _reached(found, other))]


def _reached(found: Comparison, other: str) -> str:
    """When in its training the last preset first reached, seed by seed, the final level of another arm: by single updates,
    which are noisy and cross early, and by the mean of the last few."""
    group, base = found.groups.get((SETTING, LAST)), found.groups.get((SETTING, other))
    if group is None or base is None:
        return ""
    said = [_share(group, base, width) for width in (1, SMOOTH)]
    return (
        f"The training score of `{LAST}` first reaches the final level of `{other}`, seed by seed, after {said[0]} of the "
        f"{base.budget:,} env steps; its mean over the last {SMOOTH} updates after {said[1]}."
    )


def _share(group: Group, base: Group, width: int) -> str:
    levels = dict(zip(base.seeds, base.scores, strict=True))
    curves = {seed: curve for seed, curve in zip(group.seeds, group.curve("score"), strict=True) if seed in levels}
    times = [
        stats.steps_to(steps[width - 1 :], np.convolve(scores, np.full(width, 1 / width), "valid"), levels[seed])
        for seed, (steps, scores) in curves.items()
    ]
    there = [time for time in times if math.isfinite(time)]
    share = stats.ratio(there, [float(base.budget)] * len(there)).text(".2f") if there else "no part"
    return f"{share} ({len(there)} of {len(times)} paired seeds)"


def verdict(gap: Estimate) -> str:
    """Whether the final level was reached, as far as the interval says."""
    if not gap.known:
        return ""
    return {1: ": above it", -1: ": not reached", 0: ": cannot be told apart"}[gap.sign]


def closed(group: Group) -> list[float]:
    """(seeds,) share of the way from the raw team to 100 that training went."""
    raw = group.before("score") or [0.0] * len(group.records)
    return [(after - before) / (100 - before) for after, before in zip(group.scores, raw, strict=True)]


def seconds(group: Group) -> list[float]:
    """(seeds,) of training, with another run beside it."""
    return [float(record["seconds"]) for record in group.records]


def _text(gap: Estimate | None) -> str:
    return "–" if gap is None else gap.text("+.1f")
