"""Targets at given histories against an enumerated game, and the squared change without its noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from collm.analysis.targets import Effort, Probe, Target, probes, squared_change, targets
from collm.analysis.team_drift import over_problems, root_interval
from collm.rollout.collector import Job, collect
from collm.rollout.path import History
from collm.tasks import Message, Problem
from tests.analysis.enumerated import TEAMS, Glimpse, Hidden, own_value, value_at
from tests.games import ONE_TOKEN, Memory

EFFORT = Effort(continuations=240, attempts=960)


@pytest.mark.parametrize("game", [Hidden(), Glimpse()], ids=["hidden", "glimpse"])
def test_targets_and_their_drift_are_the_enumerated_ones(game: Memory) -> None:
    """Both moments, both views; the partner's past is that of the present partner, given what it let one see."""
    jobs = [Job(Problem("only"), 0, sample) for sample in range(3)]
    rollout = collect(game, TEAMS[0], jobs, ONE_TOKEN, ("met",))
    errors, changes = [], []
    for agents in ((0, 1), (0,), (1,)):
        # All three are played on with the same draws.
        late = [dataclasses.replace(one, sample=0) for one in probes(rollout, agents) if one.history.turn == 1]
        assert len(late) == 3
        found = [targets(game, team, late, EFFORT, ONE_TOKEN, 1.0, ("moment", m)) for m, team in enumerate(TEAMS)]
        for place, _ in enumerate(late):
            one, other = (rollout.forest.transcript(place, agent) for agent in range(2))
            first = (one.tokens[one.spans[0].said], other.tokens[other.spans[0].said])
            exact = [
                value_at(game, team, first) if len(agents) == 2 else own_value(game, team, agents[0], first)
                for team in TEAMS
            ]
            pair = [found[m][place] for m in range(2)]
            for target, value in zip(pair, exact, strict=True):
                assert target.known
                mean, error = target.returns[:, 0].mean(), target.returns[:, 0].std(ddof=1) / len(target.returns) ** 0.5
                errors.append((mean - value) / max(error, 1e-9))
            changes.append((float(squared_change(*pair)[0]), (exact[1] - exact[0]) ** 2))
    assert np.abs(errors).max() < 4.5
    assert np.sqrt(np.mean(np.square(errors))) < 1.6
    measured, exact_change = np.array(changes).T
    assert exact_change.mean() > 0.01
    assert measured.mean() == pytest.approx(exact_change.mean(), rel=0.3)


def test_attempts_count_only_where_the_history_is_met() -> None:
    game = Glimpse()
    rollout = collect(game, TEAMS[0], [Job(Problem("only"), 0, s) for s in range(4)], ONE_TOKEN, ("met",))
    late = [probe for probe in probes(rollout, (0,)) if probe.history.turn == 1]
    (whole, *_) = targets(game, TEAMS[0], probes(rollout, (0, 1)), Effort(8, 32), ONE_TOKEN, 1.0, ("k",))
    assert (len(whole.returns), whole.attempts) == (8, 8)
    own = targets(game, TEAMS[0], late, Effort(8, 32), ONE_TOKEN, 1.0, ("k",))
    assert all(len(target.returns) >= 8 or target.attempts == 32 for target in own)
    assert any(target.attempts > 8 for target in own)
    never = History(
        (0,), (late[0].history.observations[0], ((Message("user", "start 1"),),)), late[0].history.responses
    )
    (none,) = targets(game, TEAMS[0], [Probe(Problem("only"), 0, 0, never)], Effort(4, 8), ONE_TOKEN, 1.0, ("k",))
    assert (len(none.returns), none.attempts, none.known) == (0, 8, False)


def target(returns: np.ndarray) -> Target:
    return Target(returns[:, None], len(returns), 0)


def test_the_squared_change_is_unbiased_over_repeats() -> None:
    """(0.3)² = 0.09 with noise of variance 1/8 + 4/5 in the difference of means; the naive square is at 1.015."""
    draw = np.random.default_rng(0)
    pairs = [(target(draw.normal(0, 1, 8)), target(draw.normal(0.3, 2, 5))) for _ in range(6000)]
    found = np.array([squared_change(*pair)[0] for pair in pairs])
    naive = np.array([(after.returns.mean() - before.returns.mean()) ** 2 for before, after in pairs])
    assert naive.mean() == pytest.approx(0.09 + 1 / 8 + 4 / 5, rel=0.06)
    assert found.mean() == pytest.approx(0.09, abs=4 * found.std() / len(found) ** 0.5)
    assert (found < 0).any()


def test_without_its_noise_a_square_is_the_mean_over_all_halves() -> None:
    """Of 4 numbers against an exact 0: the mean over the three ways to halve them of the product of the half means."""
    x = np.array([1.0, 2.0, -1.0, 5.0])
    halves = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    expected = np.mean([x[list(a)].mean() * x[list(b)].mean() for a, b in halves])
    assert squared_change(target(np.zeros(2)), target(x))[0] == pytest.approx(expected)


def test_means_and_errors_over_problems_by_hand() -> None:
    """Problems with means 1, 2 and 6: leaving one out gives 4, 3.5, 1.5, so the error is √(2/3·((1)²+(.5)²+(1.5)²))."""
    found = over_problems(np.array([1.0, 1.0, 2.0, 2.0, 6.0, 6.0]), np.array([0, 0, 1, 1, 2, 2]))
    assert found.value == pytest.approx(3.0)
    assert found.error == pytest.approx((2 / 3 * (1.0 + 0.25 + 2.25)) ** 0.5)


def test_root_interval_by_hand() -> None:
    """Mean square 4 ± 1 over 3 problems, t = 4.303: [0, 8.303]; in units of 2."""
    value, low, high = root_interval({"joint": 4.0, "joint_error": 1.0, "problems": 3, "spread": 2.0}, "joint")
    assert (value, low) == (1.0, 0.0)
    assert high == pytest.approx(8.303**0.5 / 2, abs=1e-3)


def test_histories_of_a_problem_are_played_on_with_draws_of_their_own() -> None:
    """At the first turn they are the same history; the means of a few continuations differ, and are not those of one."""
    game = Hidden()
    rollout = collect(game, TEAMS[0], [Job(Problem("only"), 0, s) for s in range(8)], ONE_TOKEN, ("met",))
    starts = [probe for probe in probes(rollout, (0, 1)) if probe.history.turn == 0]
    found = targets(game, TEAMS[0], starts, Effort(16, 16), ONE_TOKEN, 1.0, ("k",))
    assert len({tuple(target.returns[:, 0]) for target in found}) == len(starts)
    same = [dataclasses.replace(probe, sample=0) for probe in starts]
    found = targets(game, TEAMS[0], same, Effort(16, 16), ONE_TOKEN, 1.0, ("k",))
    assert len({tuple(target.returns[:, 0]) for target in found}) == 1
