"""What is biased is biased exactly as documented, and estimators that are wrong are found out.

The same enumeration that proves the methods right has to prove these wrong, or it proves nothing.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from collm.credit import (
    Credit,
    Evidence,
    actor_critic,
    greedy_baseline,
    group_max,
    group_mean,
    leave_one_out,
    normalised,
    reinforce,
)
from tests.credit.enumeration import Game, Rollout, Rollouts, aligned, cross, linear, make_game
from tests.credit.exact import evidence, exact_gradient, greedy_of, worth


def off(found: np.ndarray, exact: np.ndarray) -> float:
    """How far from the exact gradient in direction: the largest component left by the best common scale."""
    scale = (found * exact).sum() / (found**2).sum()
    return float(np.abs(scale * found - exact).max())


@functools.cache
def pairs() -> Rollouts:
    game = make_game()
    return Rollouts(game, linear(game, 2))


@functools.cache
def singles() -> Rollouts:
    game = make_game()
    return Rollouts(game, linear(game, 1))


def with_rewards(seen: Evidence, rewards: np.ndarray) -> Evidence:
    return dataclasses.replace(seen, forest=dataclasses.replace(seen.forest, rewards=rewards))


def plain_group_max(game: Game, rollouts: Iterable[Rollout]) -> np.ndarray:
    """Σ p · weight · (G − max of the group) · ∇ log π, read off METHODS node by node."""
    scores = np.zeros_like(game.policy)
    for probability, nodes in rollouts:
        children = collections.Counter(node.parent for node in nodes)
        returns = [game.rewards(node.event).copy() for node in nodes]
        for index in reversed(range(len(nodes))):
            if nodes[index].parent >= 0:
                returns[nodes[index].parent] += returns[index] / children[nodes[index].parent]
        for agent in (0, 1):
            groups: dict[int, dict[int, float]] = collections.defaultdict(lambda: collections.defaultdict(float))
            place = {}
            for node, gain in zip(nodes, returns, strict=True):
                groups[node.group][node.decisions[agent]] += gain[agent]
                weight = 1.0 if node.parent < 0 else 1 / children[node.parent]
                place[node.decisions[agent]] = (weight, node.event.contexts[agent], node.event.actions[agent])
            for group in groups.values():
                best = max(group.values()) if len(group) > 1 else 0.0
                for decision, total in group.items():
                    weight, context, action = place[decision]
                    scores[agent, context, action] += probability * weight * (total - best)
    return scores - game.policy * scores.sum(-1, keepdims=True)


@pytest.mark.parametrize("shape", ["linear-2", "linear-3", "aligned-2", "cross-2"])
def test_the_group_max_is_its_surrogate(shape: str) -> None:
    make: Callable[[Game, int], Iterable[Rollout]] = {"linear": linear, "aligned": aligned, "cross": cross}[shape[:-2]]
    game = make_game(chooser=None if shape == "linear-2" else 0)
    found = list(make(game, int(shape[-1])))
    rollouts = Rollouts(game, found)
    expected = rollouts.expected(group_max(evidence(rollouts, "none")))
    np.testing.assert_allclose(expected, plain_group_max(game, found), rtol=0, atol=1e-9)
    assert off(expected, exact_gradient(game)) > 1e-2


def test_the_group_max_of_pairs_is_half_the_difference_of_their_returns() -> None:
    """K = 2, all alive: G − max = ½(G − G') − ½|G − G'|, the unbiased half less a term that shuns wide spreads. From
    the distribution of (context, action, G) at each turn alone."""
    game = dataclasses.replace(make_game(), goes_on=np.ones((2, 2), dtype=bool))
    rollouts = Rollouts(game, linear(game, 2))
    visits = list(game.visits(1.0))
    scores = np.zeros_like(game.policy)
    for turn in (0, 1):
        seen = [(p, event, gain[0]) for p, event, gain in visits if event.turn == turn]
        chances, gains = np.array([p for p, _, _ in seen]), np.array([gain for _, _, gain in seen])
        for probability, event, gain in seen:
            gap = chances @ (gain - gains - np.abs(gain - gains)) / 2
            scores[[0, 1], event.contexts, event.actions] += 2 * probability * gap
    expected = scores - game.policy * scores.sum(-1, keepdims=True)
    found = rollouts.expected(group_max(evidence(rollouts, "none")))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_centring_immediate_rewards_is_biased_where_actions_decide_when_an_episode_ends() -> None:
    """r_t − mean of r_t over those alive, summed afterwards. Where all stay alive this *is* the group mean."""
    rollouts = pairs()
    seen = evidence(rollouts, "none")
    group, rewards = rollouts.forest.group, rollouts.forest.rewards
    alive = np.bincount(group)
    mean = np.stack([np.bincount(group, column) for column in rewards.T], 1) / np.maximum(alive, 1)[:, None]
    exact = exact_gradient(rollouts.game)
    for others in (1.0, 2.0):  # Less the mean of all, or of the other: 2·(r − mean).
        centred = np.where((alive > 1)[group][:, None], others * (rewards - mean[group]), rewards)
        found = rollouts.expected(reinforce(with_rewards(seen, centred)))
        assert np.abs(found - 2 * exact).max() > 1e-2
        assert off(found, exact) > 1e-2
    whole = np.bincount(rollouts.forest.problem)[rollouts.forest.problem] == 4
    credit = reinforce(with_rewards(seen, rewards - mean[group]))
    np.testing.assert_allclose(
        credit.advantages.reshape(-1, 2)[whole], group_mean(seen).advantages.reshape(-1, 2)[whole], atol=1e-12
    )


def test_dividing_by_the_standard_deviation_of_the_group_is_biased() -> None:
    """All variants become the same numbers, and their gradient points elsewhere."""
    rollouts = pairs()
    seen = dataclasses.replace(evidence(rollouts, "none"), greedy=greedy_of(rollouts))
    found = [
        rollouts.expected(normalised(method(seen), rollouts.forest, "group"))
        for method in (reinforce, group_mean, leave_one_out, group_max, greedy_baseline)
    ]
    for same in found[1:]:
        np.testing.assert_allclose(same, found[0], rtol=0, atol=1e-9)
    assert off(found[0], exact_gradient(rollouts.game)) > 1e-2


@pytest.mark.parametrize(("lam", "biased"), [(0.0, True), (0.5, True), (1.0, False)])
def test_values_of_other_policies_bias_all_but_lambda_one(lam: float, biased: bool) -> None:
    """With λ = 1 a value is only a baseline, whatever it says; before, it stands for what has not been seen."""
    rollouts = singles()
    other = dataclasses.replace(rollouts.game, logits=-rollouts.game.logits)
    for critic in ("joint", "own"):
        found = rollouts.expected(actor_critic(evidence(rollouts, critic, lam=lam, of=other)))
        distance = np.abs(found - exact_gradient(rollouts.game)).max()
        assert distance > 1e-2 if biased else distance < 1e-9


@pytest.mark.parametrize(("lam", "biased"), [(0.0, True), (0.5, True), (1.0, False)])
def test_critics_without_perfect_recall_are_biased(lam: float, biased: bool) -> None:
    """V(z), exact but blind to what its own agent did: what CoLLM-DC at λ < 1 needs is h_i, whole."""
    rollouts = singles()
    found = rollouts.expected(actor_critic(evidence(rollouts, "forgetful", lam=lam)))
    distance = np.abs(found - exact_gradient(rollouts.game)).max()
    assert distance > 1e-2 if biased else distance < 1e-9


def test_the_residual_of_an_exact_q_has_no_gradient() -> None:
    """r + Q(h', a') − Q(h, a): the released variant's weight; 0 in expectation given (h, a), so nothing is learned."""
    rollouts = singles()
    taken = worth(rollouts.game).taken[(*rollouts.contexts.T, *rollouts.actions.T)]
    zero = np.zeros_like(taken)
    credit = actor_critic(Evidence(rollouts.forest, 1.0, 0.0, 0.0, taken, zero))
    np.testing.assert_allclose(rollouts.expected(credit), 0.0, atol=1e-9)
    assert np.abs(credit.advantages).max() > 0.1


def test_a_cut_is_not_an_end() -> None:
    """Pitfall 8: without the bootstrap, going on looks like losing what the cut hides."""
    game = dataclasses.replace(make_game(), cut=0.3)
    rollouts = Rollouts(game, linear(game, 1))
    seen = evidence(rollouts, "joint", lam=1.0)
    blind = dataclasses.replace(seen, bootstraps=np.zeros_like(seen.values))
    found = rollouts.expected(actor_critic(blind))
    assert np.abs(found - exact_gradient(game))[:, 0].max() > 1e-2


def test_dropping_cut_episodes_selects_among_actions() -> None:
    """Monte-Carlo methods leave out what was cut. What ends early is never cut, so it is over-represented: the first
    turn's gradient is that of E[G · 1(not cut)] — exact only with the values that Monte Carlo does without."""
    game = dataclasses.replace(make_game(), cut=0.3)
    rollouts = Rollouts(game, linear(game, 1))
    found = rollouts.expected(reinforce(evidence(rollouts, "none")))
    kept = dataclasses.replace(game, cut=0.0, first=game.first * np.where(game.goes_on, 0.7, 1.0)[..., None])
    kept = dataclasses.replace(kept, second=0.7 * game.second)
    np.testing.assert_allclose(found[:, 0], exact_gradient(kept)[:, 0], rtol=0, atol=1e-9)
    assert off(found[:, 0], exact_gradient(game)[:, 0]) > 1e-2


def test_without_weights_the_deep_turns_of_a_tree_dominate() -> None:
    """Weights 1/B^t off: the second turn's gradient counts B = 2 times."""
    game = make_game()
    rollouts = Rollouts(game, aligned(game, 2))
    credit = leave_one_out(evidence(rollouts, "none"))
    found = rollouts.expected(dataclasses.replace(credit, weights=np.ones_like(credit.weights)))
    expected = 2 * exact_gradient(game)
    expected[:, 1:] *= 2
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2])
def test_dividing_by_the_weights_that_happened_to_be_there_is_biased(size: int) -> None:
    """A mean over the responses of a batch as small as one group weighs long episodes less; a sum, or a division by
    the expected number of responses, does not. (Over many groups the number hardly varies and the bias is gone.)"""
    rollouts = singles() if size == 1 else pairs()
    credit = reinforce(evidence(rollouts, "none"))
    total = np.bincount(rollouts.sample, credit.weights)
    found = rollouts.expected(Credit(credit.advantages, credit.weights / total[rollouts.sample]))
    assert off(found, exact_gradient(rollouts.game)) > 1e-2
