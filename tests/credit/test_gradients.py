"""The expected gradient of every method, by enumeration of all rollouts, against the exact policy gradient.

All in float64 on the game of ``enumeration``: its episodes end at different turns, and each agent has rewards of its
own unless said otherwise; each agent's gradient is that of its own expected return. A rollout's gradient is a *sum*
over its decisions, so its expectation is the exact gradient times the number of responses with weight 1 that each
agent gave at each turn it lived through: K; and times K^(n−1) where ``cross`` credits a response with a sum.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from collm.credit import actor_critic, greedy_baseline, group_max, group_mean, leave_one_out, reinforce
from tests.credit.enumeration import Game, Rollouts, aligned, cross, linear, make_game
from tests.credit.exact import (
    draw_linear,
    evidence,
    exact_gradient,
    greedy_of,
    objective,
    surrogate_gradient,
    taken_values,
)

# Shape → (rollouts of a game, K, only one agent may choose at the second turn).
SHAPES: dict[str, tuple[Callable[[Game], Rollouts], int, int | None]] = {
    "one": (lambda game: Rollouts(game, linear(game, 1)), 1, None),
    "linear-2": (lambda game: Rollouts(game, linear(game, 2)), 2, None),
    "linear-3": (lambda game: Rollouts(game, linear(game, 3)), 3, None),
    "aligned-2": (lambda game: Rollouts(game, aligned(game, 2)), 2, None),
    "cross-2-first": (lambda game: Rollouts(game, cross(game, 2)), 2, 0),
    "cross-2-second": (lambda game: Rollouts(game, cross(game, 2)), 2, 1),
}
shapes = pytest.mark.parametrize("shape", SHAPES)
teams = pytest.mark.parametrize("team", [True, False], ids=["team-reward", "own-rewards"])
LAMBDAS = pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])


@functools.cache
def enumerated(shape: str, team: bool = False) -> Rollouts:
    make, _, chooser = SHAPES[shape]
    return make(make_game(team=team, chooser=chooser))


def summed_over(shape: str) -> int:
    """K^(n−1): of how many joint returns a response's credit is the sum."""
    return SHAPES[shape][1] if shape.startswith("cross") else 1


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@teams
def test_the_exact_gradient_is_that_of_finite_differences_and_of_the_score_function(team: bool) -> None:
    """Three derivations: automatic differentiation, central differences, Σ over episodes of p · Σ_t G_t ∇ℓ_t."""
    game = make_game(team=team)
    found, step = exact_gradient(game), 1e-5
    assert np.abs(found[:, 0]).max() > 0.1
    assert np.abs(found[:, 1:]).max() > 0.1
    for place in np.ndindex(*found.shape):
        nudge = np.zeros_like(found)
        nudge[place] = step
        ahead, behind = (objective(game, torch.from_numpy(game.logits + s * nudge), 1.0) for s in (1, -1))
        assert ((ahead - behind)[place[0]] / (2 * step)).item() == pytest.approx(found[place], abs=1e-8)
    scores = np.zeros_like(found)
    for probability, event, gain in game.visits(1.0):
        scores[[0, 1], event.contexts, event.actions] += probability * gain
    assert_same(scores - game.policy * scores.sum(-1, keepdims=True), found)


@shapes
def test_the_enumeration_is_complete(shape: str) -> None:
    assert enumerated(shape).probability.sum() == pytest.approx(1.0, abs=1e-12)
    assert len(set(np.bincount(enumerated(shape).forest.problem))) > 1, "episodes that end at different turns"


@shapes
def test_monte_carlo_methods_without_bias(shape: str) -> None:
    """Plain returns, leave-one-out and a greedy baseline; alone, leave-one-out falls back on a running mean."""
    rollouts = enumerated(shape)
    seen = dataclasses.replace(
        evidence(rollouts, "none"), greedy=greedy_of(rollouts), running=np.array([[1.0, -2.0], [0.5, 3.0]])
    )
    expected = SHAPES[shape][1] * summed_over(shape) * exact_gradient(rollouts.game)
    for method in (reinforce, leave_one_out, greedy_baseline):
        assert_same(rollouts.expected(method(seen)), expected)


@shapes
@LAMBDAS
@pytest.mark.parametrize("critic", ["joint", "own"], ids=["cc", "dc"])
def test_actor_critic_with_exact_values_has_no_bias(shape: str, critic: str, lam: float) -> None:
    """CoLLM-CC and CoLLM-DC at every λ. V_i(h_i) averages over what the partner did and does; with perfect recall
    E[δ_i,t | h_i,t, a_i,t] = Q_i(h_i,t, a_i,t) − V_i(h_i,t), and later errors have expectation 0 given h_i."""
    rollouts = enumerated(shape)
    found = rollouts.expected(actor_critic(evidence(rollouts, critic, lam=lam)))
    assert_same(found, SHAPES[shape][1] * exact_gradient(rollouts.game))


@shapes
@LAMBDAS
def test_one_value_of_the_team_serves_all_agents(shape: str, lam: float) -> None:
    rollouts = enumerated(shape, team=True)
    credit = actor_critic(evidence(rollouts, "team", lam=lam))
    assert credit.targets is not None
    assert credit.targets.shape == (len(rollouts.forest), 1)
    assert_same(rollouts.expected(credit), SHAPES[shape][1] * exact_gradient(rollouts.game))


@shapes
def test_action_values_minus_values(shape: str) -> None:
    rollouts = enumerated(shape)
    seen = dataclasses.replace(evidence(rollouts, "joint"), action_values=taken_values(rollouts))
    assert_same(rollouts.expected(actor_critic(seen)), SHAPES[shape][1] * exact_gradient(rollouts.game))


@teams
@pytest.mark.parametrize("count", [2, 3])
def test_the_group_mean_shrinks_the_gradient_where_all_stay_alive(team: bool, count: int) -> None:
    """Linear, nobody ends early: K · (K−1)/K."""
    game = dataclasses.replace(make_game(team=team, chooser=0), goes_on=np.ones((2, 2), dtype=bool))
    rollouts = Rollouts(game, linear(game, count))
    assert_same(rollouts.expected(group_mean(evidence(rollouts, "none"))), (count - 1) * exact_gradient(game))


@pytest.mark.parametrize("shape", ["aligned-2", "cross-2-first", "cross-2-second"])
def test_the_group_mean_shrinks_the_gradient_in_trees(shape: str) -> None:
    """Siblings always are K: K · (K−1)/K, and K · (K−1)·K^(n−2) for the sums of ``cross``."""
    rollouts, count = enumerated(shape), SHAPES[shape][1]
    expected = (count - 1) * summed_over(shape) * exact_gradient(rollouts.game)
    assert_same(rollouts.expected(group_mean(evidence(rollouts, "none"))), expected)


@pytest.mark.parametrize("count", [2, 3])
def test_the_group_mean_shrinks_turns_by_how_many_are_alive(count: int) -> None:
    """With m alive a turn's gradient shrinks by (m−1)/m, and by nothing alone (the baseline is the running mean).
    The others are alive independently of one's own action, with q = P(a second turn)."""
    rollouts = enumerated(f"linear-{count}")
    game = rollouts.game
    q = sum(p for p, events in game.episodes() if len(events) == 2)
    # Others alive: none (factor 1), one (½), two (⅔).
    shrunk = {2: (1 - q) * 1 + q / 2, 3: (1 - q) ** 2 * 1 + 2 * q * (1 - q) / 2 + q**2 * 2 / 3}[count]
    expected = count * exact_gradient(game)
    expected[:, 0] *= (count - 1) / count
    expected[:, 1:] *= shrunk
    assert_same(rollouts.expected(group_mean(evidence(rollouts, "none"))), expected)


@shapes
def test_discounted_updates_are_the_usual_surrogate(shape: str) -> None:
    """γ = ½: Σ_t ∇ℓ_t G_t without γ^t, for returns and for exact critics alike."""
    rollouts, gamma = enumerated(shape), 0.5
    surrogate = SHAPES[shape][1] * surrogate_gradient(rollouts.game, gamma)
    plain = evidence(rollouts, "none", gamma)
    assert_same(rollouts.expected(reinforce(plain)), summed_over(shape) * surrogate)
    assert_same(rollouts.expected(leave_one_out(plain)), summed_over(shape) * surrogate)
    for critic in ("joint", "own"):
        assert_same(rollouts.expected(actor_critic(evidence(rollouts, critic, gamma, 0.5))), surrogate)
    assert np.abs(surrogate - SHAPES[shape][1] * exact_gradient(rollouts.game, gamma)).max() > 1e-2


@pytest.mark.parametrize("critic", ["joint", "own"])
@LAMBDAS
def test_bootstrapping_behind_a_cut_has_no_bias(critic: str, lam: float) -> None:
    """30 % of what would go on is cut: the first turn's gradient is exact, the second's is what was played of it."""
    game = dataclasses.replace(make_game(), cut=0.3)
    rollouts = Rollouts(game, linear(game, 1))
    expected = exact_gradient(game)
    expected[:, 1:] *= 0.7
    assert_same(rollouts.expected(actor_critic(evidence(rollouts, critic, lam=lam))), expected)


def test_the_mean_over_drawn_groups_converges() -> None:
    """5000 groups of 3 played episodes: within 4 standard errors of the exact gradient, for every unbiased method;
    those with a known bias, of their exact expectation."""
    game = make_game()
    rollouts, everything = Rollouts(game, draw_linear(game, 3, 5000, seed=5)), enumerated("linear-3", team=True)
    none = dataclasses.replace(evidence(rollouts, "none"), greedy=greedy_of(rollouts))
    exact = 3 * exact_gradient(game)
    cases = [(method(none), exact) for method in (reinforce, leave_one_out, greedy_baseline)]
    for critic in ("joint", "own", "team"):
        cases += [(actor_critic(evidence(rollouts, critic, lam=lam)), exact) for lam in (0.0, 0.5, 1.0)]
    q = dataclasses.replace(evidence(rollouts, "joint"), action_values=taken_values(rollouts))
    cases.append((actor_critic(q), exact))
    for method in (group_mean, group_max):
        cases.append((method(none), everything.expected(method(evidence(everything, "none")))))
    for credit, expected in cases:
        drawn = rollouts.gradients(credit)
        error = drawn.std(0, ddof=1) / np.sqrt(len(drawn))
        assert (np.abs(drawn.mean(0) - expected) <= 4 * error + 1e-12).all()
        assert (error[:, 0] < 0.2).all()
