"""The tables of a comparison: what the paper's has, intervals over seeds, and pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from collm.analysis.folder import Table
from collm.comparison.data import Comparison, Group, finite
from collm.evaluation import stats
from collm.evaluation.stats import Estimate

_TIME = "seconds_per_problem"
_PAIRED = 6
"""With more arms than this, pairs are those with the first arm."""
MEASURES = {
    "iou": ("IoU %", 100.0),
    "adjacency": ("same-colour adjacency", 1.0),
    "coverage": ("coverage %", 100.0),
    "pass_at_1": ("pass@1 %", 100.0),
    "pass_at_3": ("pass@3 %", 100.0),
    "pass_at_5": ("pass@5 %", 100.0),
    "length_ratio": ("length ratio", 1.0),
    "jaccard": ("Jaccard", 1.0),
    "categories": ("transitions", 1.0),
    "valid": ("valid %", 100.0),
}
"""Measures of single tasks that the paper prints, with their unit."""


def tables(found: Comparison) -> list[Table]:
    """What a report says first: the paper's table per setting, differences, and all settings together."""
    made = [
        *(paper(found, setting) for setting in found.settings),
        differences(found),
        improvements(found),
        pooled(found),
    ]
    return [table for table in made if table.rows]


def details(found: Comparison) -> list[Table]:
    """What a report says to those who look closer: training, and every component of the reward."""
    made = [make(found, setting) for setting in found.settings for make in (learning, components)]
    return [table for table in made if table.rows]


def paper(found: Comparison, setting: str) -> Table:
    """A row per arm in the form of the paper's table (section 5): score, time, tokens, and the task's own measures."""
    groups = found.of(setting)
    own = [name for name in MEASURES if any(group.after(name) for group in groups)]
    timed = any(group.after(_TIME) for group in groups)
    columns = ("score, mean [95 %]", "greedy", "hardened", "paper score", *(MEASURES[name][0] for name in own))
    rows = [
        (
            group.arm,
            seeds(group),
            stats.mean(group.scores).text(),
            _mean(group.after("score", "greedy")),
            _mean(group.after("score_hardened")),
            _mean(group.after("paper_score")),
            *(_mean(group.after(name), MEASURES[name][1], ".1f" if MEASURES[name][1] > 1 else ".2f") for name in own),
            _each(group, "contribution", ".2f"),
            *((_mean(group.after(_TIME), 1e3, ".0f"), _each(group, "tokens_written", ".0f")) if timed else ()),
        )
        for group in groups
    ]
    ends = ("contribution", *(("ms per problem", "tokens per agent") if timed else ()))
    return Table(f"{setting}: held-out problems", ("arm", "seeds", *columns, *ends), tuple(rows))


def learning(found: Comparison, setting: str) -> Table:
    """How each trained arm got there."""
    groups = [group for group in found.of(setting) if group.trained]
    level = _level(groups) if groups else 0.0
    rows = []
    for group in groups:
        times = group.steps_to(level)
        middle = stats.median(times)
        reached = f"{finite(times)} of {len(times)}"
        rows.append(
            (
                group.arm,
                seeds(group),
                _mean(group.before("score")),
                stats.iqm(group.scores).text(),
                stats.mean(group.areas()).text(),
                f"{reached}; {steps(middle)}",
                _last(group, "explained_variance"),
                _last(group, "spread"),
                _last(group, "gradient_signal"),
                _mean([float(record["env_steps"]) for record in group.records], 1.0, ",.0f"),
                f"{np.median([float(record['seconds']) for record in group.records]):.0f}",
            )
        )
    goal = f"reached {level:.0f}; median env steps"
    columns = ("arm", "seeds", "before training", "IQM [95 %]", "area under the curve", goal)
    rest = ("explained variance", "spread of advantages", "gradient: signal", "env steps", "median seconds")
    return Table(f"{setting}: training", (*columns, *rest), tuple(rows))


def _level(groups: Sequence[Group]) -> float:
    """The level whose time is compared: nine tenths of the way from the raw team to the best arm, rounded down."""
    best = max(float(np.mean(group.scores)) for group in groups)
    raw = float(np.mean([np.mean(group.before("score") or 0.0) for group in groups]))
    return math.floor(raw + 0.9 * (best - raw))


def steps(middle: Estimate) -> str:
    """A median of env steps of which some may be beyond the budget."""

    def one(value: float) -> str:
        return "beyond" if math.isinf(value) else f"{value:,.0f}"

    if middle.low is None or middle.high is None:
        return one(middle.value)
    return f"{one(middle.value)} [{one(middle.low)}, {one(middle.high)}]"


def components(found: Comparison, setting: str) -> Table:
    """Every measure that the task has, by arm."""
    groups = found.of(setting)
    names = dict.fromkeys(name for group in groups for name in group.records[0]["after"]["sampled"])
    rows = []
    for name in names:
        values = [group.after(name) for group in groups]
        if name != "problems" and any(values):
            rows.append((name, *("–" if not own else f"{np.mean(own):.3g}" for own in values)))
    return Table(
        f"{setting}: all measures, means over seeds", ("measure", *(group.arm for group in groups)), tuple(rows)
    )


def differences(found: Comparison) -> Table:
    """Held-out score of one trained arm minus another's, seed by seed on the same problems, in every setting."""
    rows = []
    for arm, other in pairs(trained_arms(found)):
        gaps = [found.difference(setting, arm, other) for setting in found.settings]
        if any(gaps):
            rows.append((f"{arm} − {other}", *("–" if gap is None else _marked(gap) for gap in gaps)))
    title = "Paired differences of the held-out score: mean [95 %, Student], seeds; ▲ higher, ▼ lower, ? undecided"
    return Table(title, ("pair", *found.settings), tuple(rows))


def _marked(gap: Estimate) -> str:
    mark = {1: "▲", -1: "▼", 0: "?"}[gap.sign] if gap.known else ""
    return f"{gap.text('+.1f')}, {gap.seeds} {mark}".strip()


def trained_arms(found: Comparison) -> list[str]:
    """The arms that were trained, in the order of the plan."""
    return [arm for arm in found.arms if any(g.arm == arm and g.trained for g in found.groups.values())]


def pairs(arms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every arm with those behind it, in the order of the plan; of many arms only the first with each other."""
    for place, arm in enumerate(arms[:1] if len(arms) > _PAIRED else arms):
        for other in arms[place + 1 :]:
            yield arm, other


def improvements(found: Comparison) -> Table:
    """P(a seed of one arm scores above a seed of another), per pair, with its mean over the settings where both have two."""
    rows = []
    for arm, other in pairs(trained_arms(found)):
        both = [
            (found.groups[setting, arm].scores, found.groups[setting, other].scores)
            for setting in found.settings
            if (setting, arm) in found.groups and (setting, other) in found.groups
        ]
        shared = [pair for pair in both if min(map(len, pair)) > 1]
        if shared:
            mean = stats.mean_improvement([stats.improvement(*pair) for pair in shared])
            rows.append((f"{arm} over {other}", str(len(shared)), str(mean.seeds), mean.text(".2f")))
    columns = ("pair", "settings", "fewest seeds", "P(improvement) [95 %]")
    return Table("Probability of improvement, mean over settings", columns, tuple(rows))


def pooled(found: Comparison) -> Table:
    """Scores of all settings together: arms that are in all of them."""
    if len(found.settings) < 2:
        return Table("All settings together", ("arm",), ())
    rows = []
    for arm in found.arms:
        own = [found.groups[s, arm].scores for s in found.settings if (s, arm) in found.groups]
        if len(own) == len(found.settings):
            rows.append((arm, str(min(map(len, own))), stats.pooled_iqm(own).text()))
    columns = ("arm", "fewest seeds", "IQM [95 %, stratified bootstrap]")
    return Table("All settings together: held-out score", columns, tuple(rows))


def seeds(group: Group) -> str:
    """How many seeds are there, and how many are still to come."""
    there = len(group.records)
    return str(there) if there == group.planned else f"{there} of {group.planned}"


def _mean(values: Sequence[float] | None, unit: float = 1.0, form: str = ".1f") -> str:
    return "–" if not values else format(unit * float(np.mean(values)), form)


def _each(group: Group, measure: str, form: str) -> str:
    """Per agent, the mean over seeds."""
    rows = [record["after"]["sampled"].get(measure, []) for record in group.records]
    return ", ".join(format(value, form) for value in np.mean(rows, 0)) if all(rows) else "–"


def _last(group: Group, curve: str) -> str:
    """Mean over seeds of the mean over the last half of a training."""
    found = [float(values[len(values) // 2 :].mean()) for _, values in group.curve(curve)]
    return "–" if not found else f"{np.mean(found):.2g}"
