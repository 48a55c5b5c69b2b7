"""Returns, TD(λ) and weights in closed form, in float64, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from collm.credit import per_decision, returns_to_go, temporal_difference
from collm.credit.estimators import agents_of, first_nodes, is_cut, reach, summed
from tests.credit.examples import aligned_tree, cross_tree, sharing
from tests.forests import forest

GAMMA = 0.5
# One episode of three turns (rewards 1, 2, 4; values 10, 20, 40) and one of a single turn (reward 8, value 6).
PARENTS = (-1, 0, 1, -1)
REWARDS = (1.0, 2.0, 4.0, 8.0)
VALUES = np.array([[10.0], [20.0], [40.0], [6.0]])
NONE = np.zeros((4, 1))


@pytest.mark.parametrize(
    ("lam", "expected"),
    [
        # δ = r + γV' − V: 1+10−10 = 1, 2+20−20 = 2, 4−40 = −36; 8−6 = 2.
        (0.0, [1.0, 2.0, -36.0, 2.0]),
        # A_1 = 2 + ¼·(−36) = −7; A_0 = 1 + ¼·(−7) = −0.75.
        (0.5, [-0.75, -7.0, -36.0, 2.0]),
        # G − V: G_2 = 4, G_1 = 2+2 = 4, G_0 = 1+2 = 3.
        (1.0, [-7.0, -16.0, -36.0, 2.0]),
    ],
)
@pytest.mark.parametrize("agents", [1, 2, 3])
def test_td_lambda_by_hand(agents: int, lam: float, expected: list[float]) -> None:
    advantages, targets = temporal_difference(forest(PARENTS, REWARDS, agents), VALUES, NONE, GAMMA, lam)
    np.testing.assert_allclose(advantages, np.array(expected)[:, None], rtol=0, atol=1e-12)
    np.testing.assert_allclose(targets, advantages + VALUES, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("lam", "cut"),
    [
        (0.0, [1.0, 2.0, 4 + 50 - 40]),
        # A_2 = 14, A_1 = 2 + ¼·14 = 5.5, A_0 = 1 + ¼·5.5 = 2.375.
        (0.5, [2.375, 5.5, 14.0]),
        # Return with the bootstrap: 54, 2 + 27 = 29, 1 + 14.5 = 15.5; less V.
        (1.0, [5.5, 9.0, 14.0]),
    ],
)
def test_behind_a_cut_stands_the_bootstrap_and_behind_an_end_nothing(lam: float, cut: list[float]) -> None:
    """The value behind the last node is 100 if it was cut; elsewhere bootstraps are not even read."""
    bootstraps = np.array([[np.nan], [np.nan], [100.0], [np.nan]])
    found, targets = temporal_difference(forest(PARENTS, REWARDS, cut=(2,)), VALUES, bootstraps, GAMMA, lam)
    np.testing.assert_allclose(found[:, 0], [*cut, 2.0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(targets, found + VALUES, rtol=0, atol=1e-12)
    ended, _ = temporal_difference(forest(PARENTS, REWARDS), VALUES, bootstraps, GAMMA, lam)
    assert ended[2, 0] == 4 - 40


def test_lambda_one_with_values_of_zero_is_the_monte_carlo_return() -> None:
    """G_2 = 4, G_1 = 2 + 2, G_0 = 1 + 2; and behind a cut nothing is counted."""
    advantages, _ = temporal_difference(forest(PARENTS, REWARDS), NONE, NONE, GAMMA, 1.0)
    np.testing.assert_allclose(advantages[:, 0], [3.0, 4.0, 4.0, 8.0], rtol=0, atol=1e-12)
    for cut in ((), (2,)):
        returns = returns_to_go(forest(PARENTS, REWARDS, agents=3, cut=cut), GAMMA)
        np.testing.assert_allclose(returns, np.repeat(advantages, 3, 1), rtol=0, atol=1e-12)


def test_the_returns_of_a_tree_average_over_children() -> None:
    """The worked example of the aligned tree: 0 + (10+13)/2 = 11.5 and 3 + (20+23)/2 = 24.5, for both agents."""
    expected = np.repeat([[11.5], [24.5], [10.0], [13.0], [20.0], [23.0]], 2, axis=1)
    np.testing.assert_allclose(returns_to_go(aligned_tree(), 1.0), expected, rtol=0, atol=1e-12)


def test_td_in_a_tree_averages_over_children() -> None:
    """Values 1, 2 at the roots, 4 and 6 at the children of the first, 8 and 8 at those of the second; γ = 1, λ = ½.

    Leaves: 10−4, 13−6, 20−8, 23−8 = 6, 7, 12, 15. δ of the roots: 0+5−1 = 4 and 3+8−2 = 9.
    A of the roots: 4 + ½·6.5 = 7.25 and 9 + ½·13.5 = 15.75.
    """
    values = np.array([[1.0], [2.0], [4.0], [6.0], [8.0], [8.0]])
    found, _ = temporal_difference(aligned_tree(), values, np.zeros((6, 1)), 1.0, 0.5)
    np.testing.assert_allclose(found[:, 0], [7.25, 15.75, 6, 7, 12, 15], rtol=0, atol=1e-12)


def test_one_value_column_per_agent_uses_each_agents_reward() -> None:
    rewards = ((1.0, -1.0), (2.0, -2.0))
    values = np.array([[10.0, 1.0], [20.0, 2.0]])
    advantages, _ = temporal_difference(forest((-1, 0), rewards), values, np.zeros((2, 2)), 1.0, 0.0)
    np.testing.assert_allclose(advantages, [[1 + 20 - 10, -1 + 2 - 1], [2 - 20, -2 - 2]], rtol=0, atol=1e-12)


def test_one_value_column_of_three_agents_uses_their_mean_reward() -> None:
    """(1 + 8 + 0)/3 = 3, less the value 1."""
    found, _ = temporal_difference(forest((-1,), ((1.0, 8.0, 0.0),), agents=3), np.ones((1, 1)), np.zeros((1, 1)), 1, 0)
    assert found.tolist() == [[2.0]]


def test_reach_in_a_tree_of_two_some_of_whose_branches_end_early() -> None:
    """Only node 0 and its second child have children: 1, 1, then ½, ½, then ¼, ¼. Linear rollouts count 1."""
    np.testing.assert_array_equal(reach(forest((-1, -1, 0, 0, 3, 3), (0.0,) * 6)), [1, 1, 0.5, 0.5, 0.25, 0.25])
    np.testing.assert_array_equal(reach(forest(PARENTS, REWARDS)), [1, 1, 1, 1])


def test_reach_of_a_cross_tree_is_one_over_its_joint_actions() -> None:
    np.testing.assert_array_equal(reach(cross_tree()), [1, 1, 1, 1, 0.25, 0.25, 0.25, 0.25])
    np.testing.assert_array_equal(per_decision(cross_tree(), reach(cross_tree())[:, None]), [1] * 4 + [0.25] * 4)


def test_a_cut_is_a_cut_of_everything_before_it() -> None:
    """The return of node 0 depends on its cut grandchild; its other child and the other root do not."""
    found = is_cut(forest((-1, -1, 0, 0, 3, 3), (0.0,) * 6, cut=(5,)))
    np.testing.assert_array_equal(found, [True, False, False, True, False, True])


def test_a_decision_that_serves_several_nodes_gets_their_sum_or_mean() -> None:
    """Response 0 meets both of the other agent's responses."""
    shared = sharing(forest((-1, -1), (1.0, 2.0)), [[0, 1], [0, 2]])
    values = np.array([[4.0, 10.0], [8.0, 20.0]])
    np.testing.assert_array_equal(summed(shared, values), [12.0, 10.0, 20.0])
    np.testing.assert_array_equal(per_decision(shared, values), [6.0, 10.0, 20.0])
    np.testing.assert_array_equal(per_decision(shared, values[:, :1]), [6.0, 4.0, 8.0])


def test_whose_response_and_where() -> None:
    np.testing.assert_array_equal(first_nodes(cross_tree()), [0, 2, 0, 1, 4, 6, 4, 5])
    np.testing.assert_array_equal(agents_of(cross_tree()), [0, 0, 1, 1, 0, 0, 1, 1])


def test_dense_view_keeps_ragged_ends_apart() -> None:
    dense = forest(PARENTS, REWARDS).dense(np.array(REWARDS))
    np.testing.assert_array_equal(dense, [[1.0, 2.0, 4.0], [8.0, np.nan, np.nan]])
