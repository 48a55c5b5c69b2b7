"""The credit of actor-critic methods in closed form, in float64, against numbers worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from collm.credit import Evidence, actor_critic
from tests.credit.examples import aligned_tree, cross_tree
from tests.forests import forest

# One episode of three turns (rewards 1, 2, 4; values 10, 20, 40) and one of a single turn (reward 8, value 6); γ = ½.
PARENTS = (-1, 0, 1, -1)
REWARDS = (1.0, 2.0, 4.0, 8.0)
VALUES = np.array([[10.0], [20.0], [40.0], [6.0]])
NONE = np.zeros((4, 1))
BY_LAMBDA = {0.0: [1.0, 2.0, -36.0, 2.0], 0.5: [-0.75, -7.0, -36.0, 2.0], 1.0: [-7.0, -16.0, -36.0, 2.0]}


def same(found: np.ndarray | None, expected: object) -> None:
    assert found is not None
    np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=0, atol=1e-12)


@pytest.mark.parametrize("agents", [1, 2, 3])
@pytest.mark.parametrize("lam", BY_LAMBDA)
def test_a_team_advantage_is_every_agents(lam: float, agents: int) -> None:
    seen = Evidence(forest(PARENTS, REWARDS, agents), 0.5, lam, lam, VALUES, NONE)
    credit = actor_critic(seen)
    same(credit.advantages.reshape(4, agents), np.repeat(np.array(BY_LAMBDA[lam])[:, None], agents, 1))
    same(credit.weights, np.ones(4 * agents))
    same(credit.targets, np.array(BY_LAMBDA[lam])[:, None] + VALUES)


@pytest.mark.parametrize("target_lam", BY_LAMBDA)
@pytest.mark.parametrize("lam", BY_LAMBDA)
def test_targets_have_a_lambda_of_their_own(lam: float, target_lam: float) -> None:
    credit = actor_critic(Evidence(forest(PARENTS, REWARDS, 1), 0.5, lam, target_lam, VALUES, NONE))
    same(credit.advantages, BY_LAMBDA[lam])
    same(credit.targets, np.array(BY_LAMBDA[target_lam])[:, None] + VALUES)


def test_each_agents_critic_judges_by_its_own_value_and_reward() -> None:
    """CoLLM-DC, γ = 1, λ = 0: agent 0: 1+20−10, 2−20; agent 1: −1+2−1, −2−2."""
    values = np.array([[10.0, 1.0], [20.0, 2.0]])
    both = forest((-1, 0), ((1.0, -1.0), (2.0, -2.0)))
    credit = actor_critic(Evidence(both, 1.0, values=values, bootstraps=np.zeros((2, 2))))
    same(credit.advantages.reshape(2, 2), [[11, 0], [-18, -4]])
    same(credit.targets, [[21, 1], [2, -2]])


@pytest.mark.parametrize(("lam", "first"), [(0.0, 1.0), (0.5, 2.375), (1.0, 5.5)])
def test_a_cut_bootstraps_and_keeps_its_weight(lam: float, first: float) -> None:
    """The long episode is cut, with 100 behind it: A_2 = 4 + 50 − 40 = 14; by λ, A_1 = 2 + ½λ·14, A_0 = 1 + ½λ·A_1."""
    cut = forest(PARENTS, REWARDS, 1, cut=(2,))
    credit = actor_critic(Evidence(cut, 0.5, lam, 0.0, VALUES, np.array([[np.nan], [np.nan], [100.0], [np.nan]])))
    same(credit.advantages, [first, 2 + lam * 7, 14, 2])
    same(credit.weights, [1, 1, 1, 1])
    same(credit.targets, [[11], [22], [54], [8]])


def test_the_target_network_makes_the_targets_only() -> None:
    """Slow values 1, 2, 3, 4 and bootstrap 6 behind the cut: targets 1+½·2, 2+½·3, 4+½·6, 8."""
    cut = forest(PARENTS, REWARDS, 1, cut=(2,))
    bootstraps = np.array([[0.0], [0.0], [100.0], [0.0]])
    slow = (np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([[0.0], [0.0], [6.0], [0.0]]))
    credit = actor_critic(Evidence(cut, 0.5, 0.0, 0.0, VALUES, bootstraps, slow))
    same(credit.advantages, [1, 2, 14, 2])
    same(credit.targets, [[2], [3.5], [7], [8]])


@pytest.mark.parametrize("columns", [1, 2])
def test_action_values_replace_the_error_in_the_advantage_alone(columns: int) -> None:
    """Q − V = 11−10, 18−20, 45−40, 6−6 at any λ; targets stay those of V."""
    taken = np.repeat([[11.0], [18.0], [45.0], [6.0]], columns, 1)
    values, none = np.repeat(VALUES, columns, 1), np.repeat(NONE, columns, 1)
    seen = Evidence(forest(PARENTS, REWARDS), 0.5, 0.5, 0.0, values, none)
    credit = actor_critic(dataclasses.replace(seen, action_values=taken))
    same(credit.advantages.reshape(4, 2), np.repeat([[1], [-2], [5], [0]], 2, 1))
    same(credit.targets, actor_critic(seen).targets)


def test_in_an_aligned_tree_deep_turns_count_less() -> None:
    """Values 1, 2 | 4, 6, 8, 8, γ = 1: δ = 0+5−1, 3+8−2, 10−4, 13−6, 20−8, 23−8."""
    values = np.array([[1.0], [2.0], [4.0], [6.0], [8.0], [8.0]])
    credit = actor_critic(Evidence(aligned_tree(), 1.0, values=values, bootstraps=np.zeros((6, 1))))
    same(credit.advantages.reshape(6, 2), np.repeat([[4], [9], [6], [7], [12], [15]], 2, 1))
    same(credit.weights.reshape(6, 2), np.repeat([[1], [1], [0.5], [0.5], [0.5], [0.5]], 2, 1))


def test_in_a_cross_tree_a_response_gets_the_mean_over_its_joint_actions() -> None:
    """V = 3 at the root and 2 below, γ = ½: δ = −2, −1, 1, 8+1−3 = 6; below −2, 0, 2, 4."""
    values = np.where(np.arange(8) < 4, 3.0, 2.0)[:, None]
    credit = actor_critic(Evidence(cross_tree(), 0.5, values=values, bootstraps=np.zeros((8, 1))))
    same(credit.advantages, [-1.5, 3.5, -0.5, 2.5, -1, 3, 0, 2])
    same(credit.weights, [1, 1, 1, 1, 0.25, 0.25, 0.25, 0.25])
