"""Statistics over seeds: against other implementations, against hand calculation, and their coverage by simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate
from scipy import stats as reference

from collm.evaluation import stats
from collm.evaluation.stats import Estimate

Draw = Callable[[np.random.Generator, int], np.ndarray]
SCORES = (91.5, 88.0, 93.25, 60.5, 92.0, 90.75)
OTHERS = (85.0, 91.5, 83.0, 80.0, 86.5)


def test_mean_against_scipy() -> None:
    found, ends = stats.mean(SCORES), reference.ttest_1samp(SCORES, 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(SCORES), ends.low, ends.high))
    assert found.seeds == 6


def test_ratio_against_scipy() -> None:
    values, others = np.array([3.0, 8.0, 2.0, 9.0]), np.array([2.0, 5.0, 3.0, 4.0])
    found, logs = stats.ratio(values, others), reference.ttest_1samp(np.log(values) - np.log(others), 0)
    assert found.value == pytest.approx(reference.gmean(values / others))
    assert (found.low, found.high) == pytest.approx(tuple(np.exp(logs.confidence_interval(0.95))))
    assert stats.ratio([2.0], [1.0]).low is None


def test_iqm_against_scipy() -> None:
    """The interval is Yuen's for one sample: the trimmed mean with its winsorised standard error."""
    found = stats.iqm(SCORES)
    assert found.value == pytest.approx(reference.trim_mean(SCORES, 0.25))
    winsorised = reference.mstats.winsorize(np.array(SCORES), (1 / 6, 1 / 6))
    error = np.std(winsorised, ddof=1) / ((4 / 6) * math.sqrt(6)) * math.sqrt((4 / 6) * 5 / 3 * (4 / 6) * 6 / 4)
    assert found.high is not None
    assert found.high - found.value == pytest.approx(reference.t.ppf(0.975, 3) * error)


def test_improvement_against_scipy() -> None:
    found = stats.improvement(SCORES, OTHERS)
    assert found.value == pytest.approx(reference.mannwhitneyu(SCORES, OTHERS).statistic / 30)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.value < found.high < 1


def test_improvement_is_not_certain_where_all_seeds_agree() -> None:
    found = stats.improvement((3, 4, 5), (0, 1, 2))
    assert (found.value, found.high) == (1, 1)
    assert found.low is not None
    assert 0.2 < found.low < 0.8
    mirrored = stats.improvement((0, 1, 2), (3, 4, 5))
    assert (mirrored.low, mirrored.high) == pytest.approx((0, 1 - found.low))


def test_mean_improvement_of_one_task_is_that_task() -> None:
    one = stats.improvement(SCORES, OTHERS)
    both = stats.mean_improvement([one, one])
    assert stats.mean_improvement([one]) == one
    assert both.value == one.value
    assert both.low is not None
    assert one.low is not None
    assert one.value - both.low == pytest.approx((one.value - one.low) / math.sqrt(2))


def test_median_against_scipy() -> None:
    values = [*SCORES, 70.0, 99.0]
    found, ends = stats.median(values), reference.quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == (np.median(values), ends.low, ends.high)


def test_median_with_seeds_that_never_got_there() -> None:
    assert stats.median([100.0, 200.0, math.inf]) == Estimate(200.0, None, None, 3)
    assert stats.median([100.0, math.inf, math.inf]).value == math.inf
    found = stats.median([1.0, 2.0, 3.0, 4.0, math.inf, math.inf])
    assert (found.value, found.low, found.high) == (3.5, 1.0, math.inf)


def test_area_against_scipy() -> None:
    steps, scores = np.array([0.0, 100.0, 300.0, 400.0]), np.array([30.0, 50.0, 80.0, 90.0])
    assert stats.area(steps, scores, 400) == pytest.approx(integrate.trapezoid(scores, steps) / 400)
    assert stats.area(steps, scores, 800) == pytest.approx((integrate.trapezoid(scores, steps) + 400 * 90) / 800)
    assert stats.area(steps, scores, 200) == pytest.approx((100 * 40 + 100 * 57.5) / 200)


def test_steps_to_a_level() -> None:
    steps, scores = np.array([100.0, 200.0, 300.0]), np.array([40.0, 61.0, 58.0])
    assert stats.steps_to(steps, scores, 60) == 200
    assert math.isinf(stats.steps_to(steps, scores, 62))


def test_profile_by_hand() -> None:
    found = stats.profile((10.0, 20.0, 30.0, 40.0), np.array([5.0, 20.0, 40.0]))
    assert found.share.tolist() == [1.0, 0.5, 0.0]
    assert (found.low[1], found.high[1]) == pytest.approx((0.15, 0.85), abs=0.001)  # Wilson's, 2 of 4
    assert found.high[0] == pytest.approx(1)
    assert found.low[0] == pytest.approx(0.510, abs=0.001)


def test_pass_at_k_is_the_share_of_choices_with_a_solution() -> None:
    """All choices of k among n answers, one by one."""
    solved = np.array([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]])
    for k in (1, 2, 3, 5):
        chosen = list(itertools.combinations(range(5), k))
        by_hand = np.mean([[solved[row, list(one)].any() for one in chosen] for row in range(3)])
        assert stats.pass_at_k(solved, k) == pytest.approx(by_hand)


@pytest.mark.parametrize("function", [stats.mean, stats.iqm, stats.median])
def test_one_seed_has_no_interval(function: Callable[[list[float]], Estimate]) -> None:
    found = function([42.0])
    assert found == Estimate(42.0, None, None, 1)
    assert not found.known
    assert found.sign == 0
    assert found.text() == "42.0"


def test_sign() -> None:
    assert [Estimate(0.0, *ends, 3).sign for ends in ((1.0, 2.0), (-2.0, -1.0), (-1.0, 1.0))] == [1, -1, 0]


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=n)


def skewed(rng: np.random.Generator, n: int) -> np.ndarray:
    """Scores below a ceiling: most are near it, some far below."""
    return -rng.gamma(2, size=n)


@pytest.mark.parametrize(
    ("function", "draw", "seeds", "least"),
    [
        (stats.mean, normal, 5, 0.93),
        (stats.mean, skewed, 5, 0.88),
        (stats.mean, skewed, 20, 0.91),
        (stats.iqm, normal, 5, 0.92),
        (stats.iqm, skewed, 5, 0.89),
        (stats.iqm, skewed, 20, 0.91),
    ],
)
def test_coverage_over_seeds(function: Callable[[np.ndarray], Estimate], draw: Draw, seeds: int, least: float) -> None:
    """Of 1500 studies, the share whose interval holds what many such studies have on average."""
    rng = np.random.default_rng(0)
    truth = np.mean([function(draw(rng, seeds)).value for _ in range(6000)])
    found = [function(draw(rng, seeds)) for _ in range(1500)]
    assert least < np.mean([one.low <= truth <= one.high for one in found if one.low is not None]) < 0.985


@pytest.mark.parametrize("draw", [normal, skewed])
def test_coverage_of_the_pooled_mean(draw: Draw) -> None:
    """Four tasks of different difficulty, five seeds each."""
    rng, tasks = np.random.default_rng(1), (0.0, 0.3, 1.0, 1.2)

    def study() -> list[np.ndarray]:
        return [shift + draw(rng, 5) for shift in tasks]

    truth = np.mean([reference.trim_mean(np.concatenate(study()), 0.25) for _ in range(6000)])
    found = [stats.pooled_iqm(study(), 1500) for _ in range(400)]
    assert np.mean([one.low <= truth <= one.high for one in found if one.low is not None]) > 0.92


def test_pooled_mean_against_scipy() -> None:
    groups = np.random.default_rng(0).normal(size=(4, 5))
    assert stats.pooled_iqm(groups, 10).value == pytest.approx(reference.trim_mean(groups.ravel(), 0.25))


def test_tasks_have_the_same_weight_in_the_pooled_mean() -> None:
    """However often the seeds of one of them are there."""
    high, low = [94.0, 95.0, 96.0, 97.0], [40.0, 41.0, 42.0, 43.0]
    once, often = stats.pooled_iqm([high, low], 10), stats.pooled_iqm([high * 4, low], 10)
    assert once.value == often.value == pytest.approx(np.mean([42.0, 43.0, 94.0, 95.0]))


def test_intervals_that_hold_together() -> None:
    """All differences of four methods that are alike: in 95 of 100 studies none is found."""
    rng, level = np.random.default_rng(5), stats.joint_level(6)
    pairs = list(itertools.combinations(range(4), 2))
    studies = rng.normal(size=(1000, 4, 6))
    wrong = [any(stats.mean(one[a] - one[b], level).sign for a, b in pairs) for one in studies]
    assert 0.02 < np.mean(wrong) < 0.06
    assert stats.joint_level(1) == stats.LEVEL


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_coverage_of_improvement(shift: float) -> None:
    rng, truth = np.random.default_rng(2), reference.norm.cdf(shift / math.sqrt(2))
    found = [stats.improvement(shift + normal(rng, 5), normal(rng, 5)) for _ in range(1500)]
    assert np.mean([one.low <= truth <= one.high for one in found if one.low is not None]) > 0.93
