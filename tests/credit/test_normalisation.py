"""Advantages on a common scale, against numbers worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from collm.credit import (
    Credit,
    Evidence,
    greedy_baseline,
    group_max,
    group_mean,
    leave_one_out,
    normalised,
    reinforce,
)
from collm.credit.normalisation import Normalisation
from tests.credit.examples import aligned_tree, cross_tree, three_episodes
from tests.forests import forest

ALL: tuple[Normalisation, ...] = ("none", "scale", "batch", "seat", "group")


def same(found: np.ndarray, expected: object) -> None:
    np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=0, atol=1e-12)


def credit_of(advantages: object, weights: object = None) -> Credit:
    found = np.array(advantages, dtype=float)
    return Credit(found, np.ones(len(found)) if weights is None else np.array(weights, dtype=float))


def test_none_is_the_credit_itself() -> None:
    credit = credit_of([1, 2])
    assert normalised(credit, forest((-1,), (0,)), "none") is credit


def test_scale_divides_by_the_root_mean_square_and_does_not_centre() -> None:
    """√((9 + 16 + 25 + 0)/4) = √12.5."""
    found = normalised(credit_of([3, 4, -5, 0]), forest((-1, 0), (0, 0)), "scale")
    same(found.advantages, np.array([3, 4, -5, 0]) / np.sqrt(12.5))


def test_batch_centres_and_scales_over_everything() -> None:
    """Mean 3 and variance 8/3 of 1, 3, 5; what has weight 0 is left out."""
    found = normalised(credit_of([1, 3, 5, 100], [1, 1, 1, 0]), forest((-1, 0), (0, 0)), "batch")
    same(found.advantages[:3], np.array([-2, 0, 2]) / np.sqrt(8 / 3))


def test_statistics_count_responses_by_their_weight() -> None:
    """Weights 1, ½, ½ of 4, 0, 8: mean 4, variance (½·16 + ½·16)/2 = 8; root mean square √((16 + 32)/2) = √24."""
    one = forest((-1, -1, -1), (0, 0, 0), agents=1)
    credit = credit_of([4, 0, 8], [1, 0.5, 0.5])
    same(normalised(credit, one, "batch").advantages, np.array([0, -4, 4]) / np.sqrt(8))
    same(normalised(credit, one, "scale").advantages, np.array([4, 0, 8]) / np.sqrt(24))


def test_seat_is_one_agent_at_one_turn() -> None:
    """Agent 0: {1, 3} at turn 0, {10, 30} at turn 1, of two problems; agent 1: {5, 5} and {−1, 1}."""
    two = forest((-1, 0, -1, 2), (0,) * 4, problem=(0, 0, 1, 1), linear=True)
    found = normalised(credit_of([1, 5, 10, -1, 3, 5, 30, 1]), two, "seat").advantages
    same(found, [-1, 0, -1, -1, 1, 0, 1, 1])


def test_group_is_one_agent_in_one_group() -> None:
    """Problem 0: {1, 3}, problem 1: {10, 30}; with K = 2 every advantage is ±1, and equal ones are 0."""
    four = forest((-1,) * 4, (0,) * 4, problem=(0, 1, 0, 1), linear=True)
    found = normalised(credit_of([1, 2, 10, 7, 3, 2, 30, 6]), four, "group").advantages
    same(found, [-1, 0, -1, 1, 1, 0, 1, -1])


@pytest.mark.parametrize("rewards", [(1, 5), (2, -3), (0, 1e-3)])
def test_with_two_siblings_the_group_forgets_by_how_much_one_was_better(rewards: tuple[float, float]) -> None:
    two = forest((-1, -1), rewards, linear=True)
    for method in (reinforce, group_mean, leave_one_out, group_max):
        found = normalised(method(Evidence(two, 1.0)), two, "group").advantages
        better = 1 if rewards[1] > rewards[0] else -1
        same(found, [-better, -better, better, better])


@pytest.mark.parametrize("make", [three_episodes, aligned_tree, cross_tree])
def test_within_the_group_all_variants_become_the_same_numbers(make: object) -> None:
    """Also where members end at different turns, and for the greedy baseline, which is one number per group."""
    found = make()  # type: ignore[operator]
    greedy = np.repeat(found.turn[:, None] * 3.0 - 1.0, 2, 1)
    seen = Evidence(found, 1.0, greedy=greedy)
    numbers = [
        normalised(method(seen), found, "group").advantages
        for method in (reinforce, group_mean, leave_one_out, group_max, greedy_baseline)
    ]
    assert np.abs(numbers[0]).max() > 0.5
    alone = (np.bincount(found.group) == 1)[found.group]
    compared = np.ones(len(found.decisions), dtype=bool)
    compared[found.decision[alone]] = False
    for same_numbers in numbers[1:]:
        same(same_numbers[compared], numbers[0][compared])


@pytest.mark.parametrize("how", ["seat", "group"])
def test_a_response_alone_in_its_cell_stays_as_it_is(how: Normalisation) -> None:
    """Turn 2 of the first episode, node 2: against itself it would be 0, and never learn (one episode per update)."""
    played = three_episodes()
    credit = leave_one_out(Evidence(played, 1.0))
    found = normalised(credit, played, how).advantages.reshape(6, 2)
    same(found[2], credit.advantages.reshape(6, 2)[2])
    assert (found[2] != 0).all()


@pytest.mark.parametrize("how", ALL)
def test_no_spread_is_no_division_by_nothing(how: Normalisation) -> None:
    equal = forest((-1, -1), (0, 0), linear=True)
    for advantages in ([7.0] * 4, [0.0] * 4):
        found = normalised(credit_of(advantages), equal, how).advantages
        assert np.isfinite(found).all()
        same(found, {"none": advantages, "scale": np.sign(advantages)}.get(how, [0] * 4))


@pytest.mark.parametrize("how", ALL)
def test_a_batch_in_which_everything_was_cut_stays_finite(how: Normalisation) -> None:
    lost = forest((-1, -1), (1, 2), cut=(0, 1), linear=True)
    found = normalised(leave_one_out(Evidence(lost, 1.0)), lost, how)
    assert np.isfinite(found.advantages).all()
    assert (found.weights == 0).all()


@pytest.mark.parametrize("how", ALL)
def test_weights_and_targets_stay(how: Normalisation) -> None:
    credit = dataclasses.replace(credit_of([1, 3], [1, 0.5]), targets=np.array([[9.0]]))
    found = normalised(credit, forest((-1,), (0,)), how)
    same(found.weights, [1, 0.5])
    same(found.targets, [[9]])
