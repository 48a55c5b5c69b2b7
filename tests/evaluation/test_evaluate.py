"""Numbers of an evaluation: contribution by replay, pairing by key, intervals."""

from __future__ import annotations

import numpy as np
import pytest

from collm import make_task
from collm.evaluation.counterfactual import counterfactual_losses
from collm.evaluation.evaluate import contribution, evaluate
from collm.evaluation.stats import paired_interval
from collm.models.policy import Policy
from collm.rollout.collector import Episode, Job
from collm.rollout.sampling import Sampling
from collm.tasks import Task, replay


def finished(task: Task, word: str, plan: list[list[str]]) -> Episode:
    problem = task.problem(word)
    episode = Episode(Job(problem, 0), 0, replay(task, problem, plan).state, [])
    episode.actions = [tuple(actions) for actions in plan]
    return episode


def test_contribution_of_a_canonical_build_by_hand() -> None:
    """HI has 26 cells, 13 for each. Without one agent: coverage ½, no equal neighbours, one palette missing: R = 0.75."""
    task = make_task("str-build")
    episode = finished(task, "HI", [list(actions) for actions in task.best_plan(task.problem("HI")) or []])
    losses = counterfactual_losses(task, [episode])
    np.testing.assert_allclose(losses, [[2.0 - 0.75, 2.0 - 0.75]], atol=1e-12)
    np.testing.assert_allclose(contribution(losses, np.array([2.5])), [0.5, 0.5], atol=1e-12)


def test_an_agent_that_did_nothing_contributed_nothing() -> None:
    task = make_task("str-build")
    plan = [[actions[0], ""] for actions in task.best_plan(task.problem("HI")) or []]
    assert counterfactual_losses(task, [finished(task, "HI", plan)])[0, 1] == 0.0


def test_contribution_without_gain_is_zero() -> None:
    assert contribution(np.array([[0.3, -0.1]]), np.array([0.0])) == [0.0, 0.0]


def test_the_same_key_gives_the_same_episodes_and_another_key_others(four_turns: Task, team: list[Policy]) -> None:
    problems, sampling = four_turns.problems("test")[:3], Sampling(max_new_tokens=8)
    one, again, other = (
        [episode.actions for episode in evaluate(four_turns, team, problems, sampling, (key,)).episodes]
        for key in ("a", "a", "b")
    )
    assert one == again != other


def test_a_history_that_may_not_fit_is_cut_as_in_training(four_turns: Task, team: list[Policy]) -> None:
    problems, sampling = four_turns.problems("test")[:3], Sampling(max_new_tokens=8)
    free = evaluate(four_turns, team, problems, sampling, ("a",))
    assert {len(episode.actions) for episode in free.episodes} == {4}
    opening = max(len(team[0].chat.opening(episode.observations[0][0])) for episode in free.episodes)
    tight = evaluate(four_turns, team, problems, sampling, ("a",), opening + 9)
    assert {len(episode.actions) for episode in tight.episodes} == {1}
    assert all(episode.cut for episode in tight.episodes)


def test_interval_of_paired_differences() -> None:
    """It holds the mean, shrinks with n as 1/√n, and agrees with the normal interval where that is right."""
    draws = np.random.default_rng(0).normal(3.0, 2.0, 400)
    low, high = paired_interval(draws)
    half = 1.96 * draws.std(ddof=1) / 20
    assert low == pytest.approx(draws.mean() - half, abs=0.03)
    assert high == pytest.approx(draws.mean() + half, abs=0.03)
    assert paired_interval(draws) == (low, high)
    assert paired_interval(np.full(5, 2.5)) == (2.5, 2.5)
