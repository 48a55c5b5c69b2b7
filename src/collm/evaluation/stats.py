"""Intervals for what was measured. Over problems they describe one team; over seeds, the unit of a method, a method.

All are two-sided with a level of 95 %. Those over seeds are made for few of them, and each says how many there were.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize, stats

from collm.randomness import generator

LEVEL = 0.95
_CUT = 0.25
"""The share of seeds that an interquartile mean leaves out at each end."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number about a method, and its interval over seeds. Without an interval there were too few seeds for one."""

    value: float
    low: float | None
    high: float | None
    seeds: int

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None and self.high is not None

    @property
    def sign(self) -> int:
        """1 or −1 if the whole interval lies on that side of 0; 0 if nothing is decided."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)

    def text(self, form: str = ".1f") -> str:
        """``93.1 [90.2, 95.8]``, or the value alone."""
        if self.low is None or self.high is None:
            return format(self.value, form)
        return f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]"


def paired_interval(differences: np.ndarray, level: float = LEVEL, resamples: int = 9999) -> tuple[float, float]:
    """Bootstrap (BCa) interval of the mean of paired differences, or of a measure (problems,).

    Over problems it describes one team, not a method: the unit for methods is the seed.
    """
    if len(differences) < 2 or np.ptp(differences) == 0:
        mean = float(np.mean(differences))
        return mean, mean
    result = stats.bootstrap(
        (differences,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        rng=generator("paired interval", len(differences)),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def mean(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean over seeds (seeds,), with Student's interval; differences of paired seeds are such values too."""
    found, n = np.asarray(values, dtype=float), len(values)
    centre = float(found.mean())
    if n < 2:
        return Estimate(centre, None, None, n)
    return _around(centre, float(found.std(ddof=1)) / math.sqrt(n), n - 1, n, level)


def joint_level(count: int) -> float:
    """The level of each of ``count`` intervals that all hold with 95 % together (Bonferroni)."""
    return 1 - (1 - LEVEL) / max(1, count)


def ratio(values: Sequence[float], others: Sequence[float]) -> Estimate:
    """Geometric mean of the ratios of paired positive numbers (seeds,), with Student's interval of its logarithm."""
    logs = mean([math.log(value / other) for value, other in zip(values, others, strict=True)])
    low, high = (None if end is None else math.exp(end) for end in (logs.low, logs.high))
    return Estimate(math.exp(logs.value), low, high, logs.seeds)


def half_widths(rows: np.ndarray) -> np.ndarray:
    """Half of Student's interval of the mean over seeds at every point: (seeds, points) → (points,), from 2 seeds on."""
    n = len(rows)
    return stats.t.ppf((1 + LEVEL) / 2, n - 1) * rows.std(0, ddof=1) / math.sqrt(n)


def iqm(values: Sequence[float]) -> Estimate:
    """Interquartile mean over seeds (seeds,), the mean without ⌊n/4⌋ seeds at each end.

    Its interval is Tukey and McLaughlin's: Student's, with the winsorised variance (Sankhyā A 25, 1963).
    """
    found, n = np.sort(np.asarray(values, dtype=float)), len(values)
    cut = int(_CUT * n)
    kept = n - 2 * cut
    centre = float(found[cut : n - cut].mean())
    if kept < 2:
        return Estimate(centre, None, None, n)
    winsorised = np.clip(found, found[cut], found[n - cut - 1])
    error = math.sqrt((n - 1) * float(winsorised.var(ddof=1)) / (kept * (kept - 1)))
    return _around(centre, error, kept - 1, n)


def pooled_iqm(groups: Sequence[Sequence[float]], resamples: int = 4000) -> Estimate:
    """Interquartile mean over the seeds of all tasks together (tasks, seeds), as Agarwal et al. (2021) pool them; tasks have
    the same weight, however many seeds each has.

    The bootstrap is stratified: seeds are drawn anew within each task. A percentile interval is too short for few seeds, so
    its percentiles are those that would give Student's interval for a mean (Hesterberg 2015, "expanded percentile").
    """

    weights = np.concatenate([np.full(len(group), 1 / (len(groups) * len(group))) for group in groups])

    def pooled(parts: Sequence[np.ndarray]) -> np.ndarray:
        values = np.concatenate(parts, axis=-1)
        order = np.argsort(values, axis=-1)
        # Values side by side, each as wide as its weight: what counts of it lies between the quartiles.
        ends = np.cumsum(weights[order], axis=-1)
        inside = np.diff(np.clip(ends, _CUT, 1 - _CUT), axis=-1, prepend=_CUT)
        return (np.take_along_axis(values, order, -1) * inside).sum(-1) / (1 - 2 * _CUT)

    return _stratified([np.asarray(group, dtype=float) for group in groups], pooled, resamples)


def _stratified(
    groups: Sequence[np.ndarray], statistic: Callable[[Sequence[np.ndarray]], np.ndarray], resamples: int
) -> Estimate:
    """``statistic`` takes one array (…, seeds) per stratum."""
    value, n = float(statistic(groups)), min(map(len, groups))
    if n < 2:
        return Estimate(value, None, None, n)
    rng = generator("stratified bootstrap", *map(len, groups))
    drawn = [group[rng.integers(len(group), size=(resamples, len(group)))] for group in groups]
    tail = stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf((1 + LEVEL) / 2, n - 1))
    low, high = np.quantile(statistic(drawn), [tail, 1 - tail])
    return Estimate(value, float(low), float(high), n)


def _around(centre: float, error: float, freedom: int, n: int, level: float = LEVEL) -> Estimate:
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return Estimate(centre, centre - half, centre + half, n)


def improvement(ours: Sequence[float], others: Sequence[float]) -> Estimate:
    """P(X > Y) + P(X = Y)/2 for a seed of each (seeds,): Mann and Whitney's statistic.

    The interval is Newcombe's fifth (Statistics in Medicine 25, 2006), which stays honest where every seed of one method is
    above every one of the other and a bootstrap would have no width at all.
    """
    x, y = np.asarray(ours, dtype=float), np.asarray(others, dtype=float)
    value = float((np.sign(x[:, None] - y[None]) / 2 + 0.5).mean())
    n = min(len(x), len(y))
    if n < 2:
        return Estimate(value, None, None, n)
    z, size = stats.norm.ppf((1 + LEVEL) / 2), (len(x) + len(y)) / 2 - 1

    def beyond(p: float) -> float:
        spread = p * (1 - p) / (len(x) * len(y)) * (1 + size * ((1 - p) / (2 - p) + p / (1 + p)))
        return abs(value - p) - z * math.sqrt(spread)

    # At 0 and 1 themselves the spread is 0, which is not the root that is meant.
    inner = min(max(value, 1e-9), 1 - 1e-9)
    low = 0.0 if value == 0 else optimize.brentq(beyond, 1e-12, inner)
    high = 1.0 if value == 1 else optimize.brentq(beyond, inner, 1 - 1e-12)
    return Estimate(value, float(low), float(high), n)


def mean_improvement(parts: Sequence[Estimate]) -> Estimate:
    """The mean of probabilities of improvement over tasks; their half-widths add up in squares (Zou and Donner, 2008)."""
    value, n = float(np.mean([part.value for part in parts])), min(part.seeds for part in parts)
    if not all(part.known for part in parts):
        return Estimate(value, None, None, n)
    below = math.hypot(*(part.value - (part.low or 0.0) for part in parts)) / len(parts)
    above = math.hypot(*((part.high or 0.0) - part.value for part in parts)) / len(parts)
    return Estimate(value, value - below, value + above, n)


@dataclasses.dataclass(frozen=True)
class Profile:
    """Share of the seeds that are above each level (levels,), with Wilson's interval at each."""

    levels: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def profile(scores: Sequence[float], levels: np.ndarray) -> Profile:
    """The performance profile of a method's scores (runs,), as Agarwal et al. (2021) draw it."""
    share = (np.asarray(scores)[:, None] > levels[None]).mean(0)
    low, high = np.array([wilson(one, len(scores)) for one in share]).T
    return Profile(levels, share, low, high)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The interval of a share of ``count`` seeds (Wilson's score)."""
    ends = stats.binomtest(round(share * count), count).proportion_ci(LEVEL, "wilson")
    return float(ends.low), float(ends.high)


def area(steps: np.ndarray, scores: np.ndarray, budget: float) -> float:
    """Mean score over the budget of env steps: the area under a learning curve (points,) by the trapezoid rule, over its
    width. Before its first point and behind its last the curve is level."""
    inside = np.unique(np.clip(np.concatenate([[0.0], steps, [budget]]), 0, budget))
    return float(np.trapezoid(np.interp(inside, steps, scores), inside) / budget)


def steps_to(steps: np.ndarray, scores: np.ndarray, level: float) -> float:
    """Env steps at which a curve (points,) first reaches the level; infinite if it was not reached (censored)."""
    there = np.flatnonzero(scores >= level)
    return float(steps[there[0]]) if len(there) else math.inf


def pass_at_k(solved: np.ndarray, k: int) -> float:
    """Mean over problems of the chance that one of k answers solves it: 1 − C(n − m, k)/C(n, k) with m of n answers right,
    from ``solved`` (problems, answers) (Chen et al. 2021, section 2.1)."""
    problems, n = solved.shape
    wrong = n - solved.sum(1)
    return float(np.mean([1 - math.comb(int(left), k) / math.comb(n, k) for left in wrong])) if problems else math.nan


def median(values: Sequence[float]) -> Estimate:
    """Median over seeds of times of which some are infinite: cut off by the budget, which all seeds have in common.

    The interval is between order statistics, free of any assumption; with fewer than 6 seeds even the extremes do not
    enclose the median with 95 % (4 seeds: 88 %), and there is none.
    """
    found, n = np.sort(np.asarray(values, dtype=float)), len(values)
    middle = found[(n - 1) // 2], found[n // 2]
    value = float(middle[1]) if math.isinf(middle[1]) else float(np.mean(middle))
    rank = int(stats.binom.ppf((1 - LEVEL) / 2, n, 0.5))
    while rank > 0 and 2 * stats.binom.cdf(rank - 1, n, 0.5) > 1 - LEVEL:
        rank -= 1
    if rank == 0:
        return Estimate(value, None, None, n)
    return Estimate(value, float(found[rank - 1]), float(found[n - rank]), n)
