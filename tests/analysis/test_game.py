"""The game's exact quantities against each other, against finite differences and against samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from collm.analysis.drift import ascent, drifts
from collm.analysis.game import AGENTS, Game, GameOptions, gradient, joint_values, own_values, play
from collm.analysis.moments import Exact
from collm.analysis.sample import Sampled, sample
from collm.credit import Credit, Evidence, actor_critic, greedy_baseline, group_mean, leave_one_out, reinforce
from collm.randomness import generator

GAMES = [GameOptions(3, reward, hidden) for reward in ("dense", "terminal") for hidden in (0.0, 0.4, 1.0)]


def performance(game: Game, team: list[np.ndarray]) -> float:
    return float(joint_values(play(game, team))[0][0, 0])


@pytest.mark.parametrize("options", GAMES, ids=str)
def test_the_gradient_is_the_slope_of_the_performance(options: GameOptions) -> None:
    game = Game(options)
    team = game.team(3)
    slopes = gradient(play(game, team))
    for turn, agent, place in ((0, 0, 0), (1, 1, 0), (2, 0, 3)):
        ends = []
        for step in (1e-5, -1e-5):
            moved = [logits.copy() for logits in team]
            moved[turn][agent, place] += step
            ends.append(performance(game, moved))
        assert slopes[turn][agent, place] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-9)


@pytest.mark.parametrize("options", GAMES, ids=str)
def test_every_estimator_with_exact_values_is_unbiased(options: GameOptions) -> None:
    game = Game(options)
    team = game.team(1)
    exact = Exact(game, team)
    np.testing.assert_allclose(exact.gradient, np.concatenate([one.ravel() for one in gradient(play(game, team))]))
    for lam in (0.0, 0.3, 0.9, 1.0):
        assert exact.critic(exact.joint, lam).bias < 1e-20
        assert exact.critic(exact.own, lam).bias < 1e-20
    assert exact.reinforce().bias < 1e-20
    assert exact.greedy_baseline(team, 4).bias < 1e-20
    assert exact.group_mean(4).bias == pytest.approx(float(exact.gradient @ exact.gradient) / 16)


def test_wrong_values_bias_all_but_lambda_one() -> None:
    game = Game(GameOptions(3, "terminal", 0.5))
    path = ascent(game, game.team(0), 3, 2.0)
    before, exact = Exact(game, path[0]), Exact(game, path[-1])
    biases = [exact.critic(before.own, lam).bias for lam in (0.0, 0.5, 0.9, 1.0)]
    assert biases[0] > biases[1] > biases[2] > 1e-9
    assert biases[3] < 1e-20


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_critics_are_one_where_nothing_is_hidden(horizon: int) -> None:
    game = Game(GameOptions(horizon, "dense", 0.0))
    played = play(game, game.team(0))
    joint = joint_values(played)
    for one, other in zip(own_values(played, joint), joint, strict=True):
        np.testing.assert_allclose(one, np.broadcast_to(other, one.shape), atol=1e-12)


@pytest.mark.parametrize("hidden", [0.3, 1.0])
def test_late_reward_is_shared_out_by_both_critics_in_full(hidden: float) -> None:
    game = Game(GameOptions(3, "terminal", hidden))
    exact = Exact(game, game.team(2))
    total = exact.mean_baseline().advantages[0]
    assert exact.critic(exact.joint, 0.0).advantages.sum() == pytest.approx(total)
    assert exact.critic(exact.own, 0.0).advantages.sum() == pytest.approx(total)


def test_a_joint_critic_does_not_notice_when_reward_is_paid() -> None:
    found = []
    for reward in ("dense", "terminal"):
        game = Game(GameOptions(3, reward, 0.6))  # type: ignore[arg-type]
        exact = Exact(game, game.team(2))
        found.append(exact.critic(exact.joint, 0.0))
    assert found[0].variance == pytest.approx(found[1].variance, rel=1e-12)
    np.testing.assert_allclose(found[0].advantages, found[1].advantages)


def test_the_values_part_of_the_drift_is_at_most_that_of_the_joint_critic() -> None:
    for hidden in (0.0, 0.5):
        game = Game(GameOptions(3, "terminal", hidden))
        for found in drifts(game, ascent(game, game.team(0), 5, 2.0)):
            assert found.future <= found.joint + 1e-15
            assert (found.belief < 1e-25) == (hidden == 0.0)


@pytest.mark.parametrize("past", [0.5, -0.5, -2.0])
def test_the_optimum_is_that_of_the_best_plan(past: float) -> None:
    game = Game(GameOptions(2, "dense", 0.5, past))
    plans = []
    for actions in itertools.product((-30.0, 30.0), repeat=4):
        team = [
            np.repeat(np.array(actions[2 * t : 2 * t + 2])[:, None], layer.tables, 1)
            for t, layer in enumerate(game.layers)
        ]
        plans.append(performance(game, team))
    assert game.optimum == pytest.approx(max(plans), abs=1e-6)


EPISODES, GROUP = 40_000, 4


def sampled_trace(game: Game, played: Sampled, credit: Credit) -> tuple[float, float]:
    """Trace of the covariance of the groups' mean gradients, and the norm of their mean."""
    pull = (credit.advantages * credit.weights).reshape(-1, AGENTS)
    of = np.zeros(EPISODES, dtype=np.int64)
    like = [np.zeros((1, AGENTS, layer.tables)) for layer in game.layers]
    by_node = played.scores.transpose(0, 2, 1).reshape(-1, AGENTS)
    mean = np.concatenate([t.ravel() for t in played.scatter(pull * by_node, of, like)]) / EPISODES
    groups = EPISODES // GROUP
    square = 0.0
    for turn, layer in enumerate(game.layers):
        part = (pull * by_node)[turn * EPISODES : (turn + 1) * EPISODES]
        for agent in range(AGENTS):
            table = np.zeros((groups, layer.tables))
            np.add.at(table, (np.arange(EPISODES) // GROUP, played.own[turn, agent]), part[:, agent] / GROUP)
            square += float((table**2).sum() / groups)
    return square - float(mean @ mean), float(mean @ mean)


def test_exact_variances_are_those_of_the_credit_functions() -> None:
    """Sampled episodes through ``collm.credit`` have the variances that the closed forms say, within 5 %."""
    game = Game(GameOptions(2, "terminal", 0.5))
    team = game.team(1)
    exact = Exact(game, team)
    of = np.zeros(EPISODES, dtype=np.int64)
    groups = np.arange(EPISODES) // GROUP
    played = sample(game, [one[None] for one in team], of, groups, generator("test", "analysis"))
    joint = played.read([values[None] for values in exact.joint], of)
    own_tables = [
        np.stack(
            [
                np.bincount(o, v, layer.tables) / np.bincount(o, minlength=layer.tables)
                for o, v in zip(layer.own, values, strict=True)
            ]
        )
        for layer, values in zip(game.layers, exact.own, strict=True)
    ]
    own = played.read([table[None] for table in own_tables], of)
    plain = Evidence(played.forest, 1.0)

    def critic(values: np.ndarray, lam: float) -> Credit:
        return actor_critic(Evidence(played.forest, 1.0, lam, lam, values, np.zeros_like(values)))

    for credit, expected, bias in (
        (reinforce(plain), exact.reinforce(), 1.0),
        (leave_one_out(plain), exact.leave_one_out(GROUP), 1.0),
        (group_mean(plain), exact.group_mean(GROUP), (1 - 1 / GROUP) ** 2),
        (critic(joint, 0.0), exact.critic(exact.joint, 0.0), 1.0),
        (critic(own, 0.5), exact.critic(exact.own, 0.5), 1.0),
    ):
        trace, square = sampled_trace(game, played, credit)
        assert trace * GROUP * game.horizon == pytest.approx(expected.variance, rel=0.05)
        noise = trace * GROUP / EPISODES
        assert abs(square - bias * exact.gradient @ exact.gradient) < 4 * np.sqrt(square * noise) + 2 * noise
    spread = np.bincount(played.forest.turn, leave_one_out(plain).advantages.reshape(-1, 2).mean(1) ** 2) / EPISODES
    np.testing.assert_allclose(spread, exact.leave_one_out(GROUP).advantages, rtol=0.05)


def test_a_greedy_baseline_shared_by_a_group_has_the_stated_variance() -> None:
    """With nothing hidden the greedy episode is one fixed plan, and the credit function takes off its return."""
    game = Game(GameOptions(2, "dense", 0.0))
    team = game.team(1)
    exact = Exact(game, team)
    of = np.zeros(EPISODES, dtype=np.int64)
    groups = np.arange(EPISODES) // GROUP
    played = sample(game, [one[None] for one in team], of, groups, generator("test", "greedy"))
    greedy = play(game, [np.where(one > 0, 500.0, -500.0) for one in team])
    levels = [float(w @ v[0]) for w, v in zip(greedy.occupancy, joint_values(greedy), strict=True)]
    nodes = np.array(levels)[played.forest.turn][:, None].repeat(AGENTS, axis=1)
    trace, _ = sampled_trace(game, played, greedy_baseline(Evidence(played.forest, 1.0, greedy=nodes)))
    expected = exact.greedy_baseline(team, GROUP).variance
    assert trace * (GROUP + 1) * game.horizon == pytest.approx(expected, rel=0.05)
