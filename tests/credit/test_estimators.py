"""Credit in closed form, in float64, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from collm.credit import actor_critic, normalised, per_decision, temporal_difference
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
def test_td_lambda_by_hand(lam: float, expected: list[float]) -> None:
    advantages, targets = temporal_difference(forest(PARENTS, REWARDS), VALUES, NONE, GAMMA, lam)
    np.testing.assert_allclose(advantages[:, 0], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(targets, advantages + VALUES, rtol=0, atol=1e-12)


def test_behind_a_cut_stands_the_bootstrap_and_behind_an_end_nothing() -> None:
    """The same episode, terminated and cut: only the cut one sees the value behind its last node (here 100)."""
    bootstraps = np.array([[0.0], [0.0], [100.0], [0.0]])
    ended, _ = temporal_difference(forest(PARENTS, REWARDS), VALUES, bootstraps, GAMMA, 0.0)
    cut, _ = temporal_difference(forest(PARENTS, REWARDS, cut=(2,)), VALUES, bootstraps, GAMMA, 0.0)
    assert ended[2, 0] == 4 - 40
    assert cut[2, 0] == 4 + 50 - 40


def test_lambda_one_with_values_of_zero_is_the_monte_carlo_return() -> None:
    zero = np.zeros((4, 1))
    advantages, _ = temporal_difference(forest(PARENTS, REWARDS), zero, zero, GAMMA, 1.0)
    np.testing.assert_allclose(advantages[:, 0], [3.0, 4.0, 4.0, 8.0], atol=1e-12)


def test_a_tree_averages_over_children() -> None:
    """The worked example of the aligned tree (n = 2, H = 2, K = 2): root returns 11.5 and 24.5."""
    # Root joint actions s ∈ {0, 1}: rewards s + 2s; below them states 1 and 2 with rewards 10·state + 3s.
    tree = forest((-1, -1, 0, 0, 1, 1), (0.0, 3.0, 10.0, 13.0, 20.0, 23.0))
    zero = np.zeros((6, 1))
    returns, _ = temporal_difference(tree, zero, zero, 1.0, 1.0)
    np.testing.assert_allclose(returns[:2, 0], [11.5, 24.5], atol=1e-12)


def test_one_value_column_per_agent_uses_each_agents_reward() -> None:
    rewards = ((1.0, -1.0), (2.0, -2.0))
    values = np.array([[10.0, 1.0], [20.0, 2.0]])
    advantages, _ = temporal_difference(forest((-1, 0), rewards), values, np.zeros((2, 2)), 1.0, 0.0)
    np.testing.assert_allclose(advantages, [[1 + 20 - 10, -1 + 2 - 1], [2 - 20, -2 - 2]], atol=1e-12)


def test_a_team_advantage_is_every_agents() -> None:
    credit = actor_critic(forest(PARENTS, REWARDS, agents=3), VALUES, NONE, GAMMA, 0.0, normalise=False)
    np.testing.assert_allclose(credit.advantages.reshape(4, 3), np.repeat([[1.0], [2.0], [-36.0], [2.0]], 3, axis=1))


def test_normalised_over_the_batch() -> None:
    found = normalised(np.array([1.0, 3.0, 5.0, 100.0]), np.array([1.0, 1.0, 1.0, 0.0]))
    np.testing.assert_allclose(found[:3], np.array([-2.0, 0.0, 2.0]) / np.sqrt(8 / 3))
    assert (normalised(np.full(3, 7.0), np.ones(3)) == 0).all()


def test_a_decision_that_serves_several_nodes_gets_their_mean() -> None:
    shared = forest((-1, -1), (1.0, 2.0))
    shared.decision[:] = [[0, 1], [0, 3]]
    np.testing.assert_allclose(per_decision(shared, np.array([[4.0], [8.0]]))[[0, 1, 3]], [6.0, 4.0, 8.0])


def test_dense_view_keeps_ragged_ends_apart() -> None:
    dense = forest(PARENTS, REWARDS).dense(np.array(REWARDS))
    np.testing.assert_array_equal(dense, [[1.0, 2.0, 4.0], [8.0, np.nan, np.nan]])
