"""The Monte-Carlo methods in closed form, in float64, against numbers worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from collm.credit import (
    Evidence,
    RunningReturns,
    greedy_baseline,
    greedy_returns,
    group_max,
    group_mean,
    leave_one_out,
    reinforce,
)
from tests.credit.examples import aligned_tree, cross_tree, sharing, three_episodes
from tests.forests import forest

METHODS = {"reinforce": reinforce, "mean": group_mean, "loo": leave_one_out, "max": group_max}
RUNNING = np.array([[100.0, 200.0], [10.0, 20.0], [1.0, 2.0]])

# G by node: 7, 6, 4 | 8 | 8, 5. Turn 0: mean 23/3, max 8; turn 1: {6, 5}; turn 2: alone, no running mean: baseline 0.
LINEAR = {
    "reinforce": [7, 6, 4, 8, 8, 5],
    "mean": [-2 / 3, 0.5, 4, 1 / 3, 1 / 3, -0.5],
    "loo": [7 - 8, 6 - 5, 4, 8 - 7.5, 8 - 7.5, 5 - 6],
    "max": [-1, 0, 4, 0, 0, -1],
}


def same(found: np.ndarray, expected: object) -> None:
    np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=0, atol=1e-12)


@pytest.mark.parametrize("agents", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_linear_groups_whose_members_end_at_different_turns(method: str, agents: int) -> None:
    credit = METHODS[method](Evidence(three_episodes(agents), 1.0))
    same(credit.advantages.reshape(6, agents), np.repeat(np.array(LINEAR[method])[:, None], agents, 1))
    same(credit.weights, np.ones(6 * agents))
    assert credit.targets is None


@pytest.mark.parametrize("method", METHODS)
def test_each_agent_learns_from_its_own_rewards(method: str) -> None:
    """Agent 1 earns 10 times what agent 0 does: its column is 10 times agent 0's."""
    both = three_episodes(rewards=[(r, 10 * r) for r in (1, 2, 4, 8, 3, 5)])
    found = METHODS[method](Evidence(both, 1.0)).advantages.reshape(6, 2)
    same(found, np.outer(LINEAR[method], [1, 10]))


def test_discounted_returns() -> None:
    """γ = ½: G = 1 + 1 + 1 = 3, 2 + 2 = 4, 4 | 8 | 3 + 2.5 = 5.5, 5. Turn 0: {3, 8, 5.5}; turn 1: {4, 5}."""
    found = leave_one_out(Evidence(three_episodes(1), 0.5)).advantages
    same(found, [3 - 6.75, 4 - 5, 4, 8 - 4.25, 5.5 - 5.5, 5 - 4])


@pytest.mark.parametrize("method", ["mean", "loo", "max"])
def test_alone_a_response_is_compared_with_the_running_mean_of_its_turn_and_agent(method: str) -> None:
    """Only node 2 is alone (turn 2): 4 − 1 for agent 0, 4 − 2 for agent 1; all others as without a running mean."""
    found = METHODS[method](Evidence(three_episodes(), 1.0, running=RUNNING)).advantages.reshape(6, 2)
    expected = np.repeat(np.array(LINEAR[method])[:, None], 2, 1)
    expected[2] = [3, 2]
    same(found, expected)


def test_a_problem_played_once_has_no_group() -> None:
    """Two problems, one episode each: nobody to be compared with, though there are two episodes per turn."""
    apart = forest((-1, 0, -1), (1, 2, 4), agents=1, problem=(0, 0, 1), linear=True)
    for method in (group_mean, leave_one_out, group_max):
        same(method(Evidence(apart, 1.0)).advantages, [3, 2, 4])
        same(method(Evidence(apart, 1.0, running=RUNNING[:, :1])).advantages, [3 - 100, 2 - 10, 4 - 100])


@pytest.mark.parametrize(
    ("method", "expected"),
    [("mean", [-0.5, -4, 4, 0.5]), ("loo", [-1, -4, 4, 1]), ("max", [-1, -4, 4, 0]), ("reinforce", [7, 6, 4, 8])],
)
def test_what_was_cut_neither_learns_nor_serves_as_a_baseline(method: str, expected: list[float]) -> None:
    """The third episode is cut at its second turn: its first turn's return is unknown too, and drops out of {7, 8, 8};
    at turn 1 the first episode is alone, 6 − 10 with its running mean, as it is at turn 2, 4 − 0."""
    running = np.array([[100.0], [10.0], [0.0]])
    credit = METHODS[method](Evidence(three_episodes(1, cut=(5,)), 1.0, running=running))
    same(credit.weights, [1, 1, 1, 1, 0, 0])
    same(credit.advantages[:4], expected if method != "reinforce" else [7, 6, 4, 8])


def test_the_worked_example_of_the_aligned_tree() -> None:
    """Root returns 11.5 and 24.5; pairs {10, 13} and {20, 23} below count half (1/B^t). Both agents alike."""
    expected = {
        "reinforce": [11.5, 24.5, 10, 13, 20, 23],
        "mean": [-6.5, 6.5, -1.5, 1.5, -1.5, 1.5],
        "loo": [-13, 13, -3, 3, -3, 3],
        "max": [-13, 0, -3, 0, -3, 0],
    }
    for name, method in METHODS.items():
        credit = method(Evidence(aligned_tree(), 1.0))
        same(credit.advantages.reshape(6, 2), np.repeat(np.array(expected[name])[:, None], 2, 1))
        same(credit.weights.reshape(6, 2), np.repeat([[1], [1], [0.5], [0.5], [0.5], [0.5]], 2, 1))


def test_a_cross_tree_sums_over_the_joint_actions_that_contain_a_response() -> None:
    """R = 1, 2, 4, 9.5: agent 0's responses 1+2 = 3 and 4+9.5 = 13.5, agent 1's 1+4 = 5 and 2+9.5 = 11.5; below
    0+2, 4+6 and 0+4, 2+6. A response counts 1/4 at the second turn: B is the four joint actions."""
    expected = {
        "reinforce": [3, 13.5, 5, 11.5, 2, 10, 4, 8],
        "mean": [-5.25, 5.25, -3.25, 3.25, -4, 4, -2, 2],
        "loo": [-10.5, 10.5, -6.5, 6.5, -8, 8, -4, 4],
        "max": [-10.5, 0, -6.5, 0, -8, 0, -4, 0],
    }
    for name, method in METHODS.items():
        credit = method(Evidence(cross_tree(), 0.5))
        same(credit.advantages, expected[name])
        same(credit.weights, [1, 1, 1, 1, 0.25, 0.25, 0.25, 0.25])


def test_a_cross_of_three_agents() -> None:
    """Joint action (i, j, k) earns 4i + 2j + k: agent 0's responses 0+1+2+3 = 6 and 22, agent 1's 10 and 18, agent 2's
    12 and 16."""
    rows = [(i, 2 + j, 4 + k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    tree = sharing(forest((-1,) * 8, range(8), agents=3), rows)
    same(reinforce(Evidence(tree, 1.0)).advantages, [6, 22, 10, 18, 12, 16])
    same(group_mean(Evidence(tree, 1.0)).advantages, [-8, 8, -4, 4, -2, 2])


def test_in_a_cross_tree_a_cut_takes_all_responses_it_met_with_it() -> None:
    """Joint action (1, 1) is cut below: responses 1 of both agents are unknown, so responses 0 are alone."""
    cut = dataclasses.replace(
        cross_tree(), truncated=np.arange(8) == 7, terminated=np.isin(np.arange(8), [3, 7], invert=True)
    )
    credit = leave_one_out(Evidence(cut, 0.5))
    same(credit.weights, [1, 0, 1, 0, 0.25, 0, 0.25, 0])
    same(credit.advantages[[0, 2, 4, 6]], [3, 5, 2, 4])


def test_a_greedy_episode_as_the_baseline() -> None:
    """Greedy (2, 4): 6 and 4 to go, shorter than the longest episode, nothing at turn 2: 7−6, 6−4, 4−0 | 8−6 | 8−6, 5−4."""
    played = three_episodes(2)
    greedy = greedy_returns(played, forest((-1, 0), (2, 4), linear=True), 1.0)
    same(greedy, np.repeat([[6], [4], [0], [6], [6], [4]], 2, 1))
    credit = greedy_baseline(Evidence(played, 1.0, greedy=greedy))
    same(credit.advantages.reshape(6, 2), np.repeat([[1], [2], [4], [2], [2], [1]], 2, 1))
    same(credit.weights, np.ones(12))


def test_each_problem_has_its_own_greedy_episode_and_each_agent_its_own_return() -> None:
    """Problems 0 and 1 in any order; the greedy episode of problem 1 is longer than what was played. γ = ½."""
    played = forest((-1, -1, 1), ((1, 0), (2, 0), (3, 0)), problem=(1, 0, 0), linear=True)
    lone = forest((-1, -1, 1), ((8, 1), (4, 2), (6, 4)), problem=(0, 1, 1), linear=True)
    greedy = greedy_returns(played, lone, 0.5)
    same(greedy, [[4 + 3, 2 + 2], [8, 1], [0, 0]])
    found = greedy_baseline(Evidence(played, 0.5, greedy=greedy)).advantages.reshape(3, 2)
    same(found, [[1 - 7, -4], [2 + 1.5 - 8, -1], [3, 0]])


def test_a_greedy_baseline_in_a_cross_tree_is_summed_like_the_returns() -> None:
    """Greedy 5 at the first turn and 1 at the second, in each of the two joint actions of a response."""
    greedy = np.repeat(np.where(np.arange(8) < 4, 5.0, 1.0)[:, None], 2, 1)
    found = greedy_baseline(Evidence(cross_tree(), 0.5, greedy=greedy)).advantages
    same(found, np.array([3, 13.5, 5, 11.5, 2, 10, 4, 8]) - [10, 10, 10, 10, 2, 2, 2, 2])


def test_running_returns_are_corrected_for_their_start_at_nothing() -> None:
    """Rate ½. Returns 23/3, 5.5, 4 by turn; then one episode earning 3, 1: (¼·23/3 + ½·4)/¾ and (¼·5.5 + ½·1)/¾."""
    running = RunningReturns(turns=4, agents=2, rate=0.5)
    same(running.mean, np.zeros((4, 2)))
    running.observe(three_episodes(), 1.0)
    same(running.mean, np.repeat([[23 / 3], [5.5], [4], [0]], 2, 1))
    running.observe(forest((-1, 0), (3, 1), linear=True), 1.0)
    turns = [(23 / 12 + 2) / 0.75, (5.5 / 4 + 0.5) / 0.75, 4, 0]
    same(running.mean, np.repeat(np.array(turns)[:, None], 2, 1))


def test_running_returns_keep_agents_apart_and_leave_out_what_was_cut() -> None:
    running = RunningReturns(turns=3, agents=2)
    running.observe(three_episodes(cut=(5,), rewards=[(r, -r) for r in (1, 2, 4, 8, 3, 5)]), 1.0)
    same(running.mean, [[7.5, -7.5], [6, -6], [4, -4]])
