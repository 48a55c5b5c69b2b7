"""What holds for every forest: properties of credit over random rollouts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collm.credit import (
    Credit,
    Evidence,
    actor_critic,
    group_max,
    group_mean,
    leave_one_out,
    normalised,
    reinforce,
    returns_to_go,
)
from collm.credit.normalisation import Normalisation
from collm.rollout.forest import Forest
from tests.forests import forest

Episodes = list[list[int]]

EPISODE = st.lists(st.integers(-50, 50), min_size=1, max_size=4)
PROBLEMS = st.lists(st.lists(EPISODE, min_size=1, max_size=4), min_size=1, max_size=4)
MONTE_CARLO = (reinforce, group_mean, leave_one_out, group_max)
TREE = st.recursive(
    st.integers(-50, 50).map(lambda reward: (reward, ())),
    lambda below: st.tuples(st.integers(-50, 50), st.tuples(below, below, below) | st.just(())),
    max_leaves=12,
)
few = settings(max_examples=40, deadline=None)


def linear(problems: list[Episodes], order: list[int] | None = None) -> Forest:
    """Linear rollouts, the problems listed in this order; agent 1 earns the opposite of agent 0."""
    parents, rewards, problem = [], [], []
    for place in order or range(len(problems)):
        for episode in problems[place]:
            for turn, reward in enumerate(episode):
                parents.append(len(parents) - 1 if turn else -1)
                rewards.append((reward, -reward))
                problem.append(place)
    return forest(parents, rewards, problem=problem, linear=True)


def trees(roots: tuple) -> Forest:
    """A tree whose root has these three joint actions below it, each (reward, its three successors or none)."""
    parents, rewards = [], []
    queue = [(-1, node) for node in roots]
    while queue:
        parent, (reward, below) = queue.pop(0)
        queue += [(len(parents), node) for node in below]
        parents.append(parent)
        rewards.append(reward)
    return forest(parents, rewards)


def groups(found: Forest) -> np.ndarray:
    """(decisions,): which are compared, numbered as the nodes' decisions are in hand-made forests."""
    return np.unique(np.stack([found.group * 2, found.group * 2 + 1], 1).ravel(), return_inverse=True)[1]


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@given(PROBLEMS)
@few
def test_the_group_mean_is_leave_one_out_shrunk_by_the_number_alive(problems: list[Episodes]) -> None:
    """(m − 1)/m with m in the group; alone both are G."""
    played = linear(problems)
    sizes = np.bincount(groups(played))[groups(played)]
    factor = np.where(sizes > 1, (sizes - 1) / sizes, 1.0)
    mean, others = (method(Evidence(played, 0.9)).advantages for method in (group_mean, leave_one_out))
    assert_same(mean, factor * others)


@given(st.tuples(TREE, TREE, TREE))
@few
def test_in_a_tree_leave_one_out_is_k_over_k_minus_one_of_the_group_mean(roots: tuple) -> None:
    """K = 3, with branches that end anywhere."""
    played = trees(roots)
    assert (np.bincount(groups(played)) == 3).all()
    mean, others = (method(Evidence(played, 0.9)) for method in (group_mean, leave_one_out))
    assert_same(others.advantages, 1.5 * mean.advantages)
    assert_same(mean.weights.reshape(-1, 2), np.repeat((1 / 3.0**played.turn)[:, None], 2, 1))


@given(PROBLEMS)
@few
def test_advantages_of_a_group_add_up_to_nothing_and_the_best_has_none(problems: list[Episodes]) -> None:
    played = linear(problems)
    many = np.bincount(groups(played)) > 1
    for method in (group_mean, leave_one_out):
        assert_same(np.bincount(groups(played), method(Evidence(played, 0.9)).advantages)[many], 0.0)
    below = group_max(Evidence(played, 0.9)).advantages
    best = np.full(len(many), -np.inf)
    np.maximum.at(best, groups(played), below)
    assert (best[many] == 0).all()


@given(PROBLEMS, st.randoms(use_true_random=False))
@few
def test_the_order_of_problems_changes_nothing(problems: list[Episodes], random: object) -> None:
    order = list(range(len(problems)))
    random.shuffle(order)  # type: ignore[attr-defined]
    sizes = [sum(map(len, episodes)) for episodes in problems]
    starts = np.cumsum(sizes) - sizes
    moved = np.concatenate([starts[place] + np.arange(sizes[place]) for place in order])
    for method, how in [(method, how) for method in MONTE_CARLO for how in ("none", "scale", "batch", "seat", "group")]:
        one, other = (_normalised(method, linear(problems, o), how) for o in (None, order))
        assert_same(other.advantages.reshape(-1, 2), one.advantages.reshape(-1, 2)[moved])
        assert_same(other.weights.reshape(-1, 2), one.weights.reshape(-1, 2)[moved])


def _normalised(method: Callable[[Evidence], Credit], played: Forest, how: Normalisation) -> Credit:
    return normalised(method(Evidence(played, 0.9)), played, how)


@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(st.integers(-50, 50), min_size=n, max_size=n), min_size=2))
)
@few
def test_a_constant_of_the_turn_changes_nothing_where_all_live_as_long(episodes: Episodes) -> None:
    raised = [[reward + 7 * turn - 3 for turn, reward in enumerate(episode)] for episode in episodes]
    for method in (group_mean, leave_one_out, group_max):
        one, other = (method(Evidence(linear([played]), 0.9)).advantages for played in (episodes, raised))
        assert_same(other, one)


@given(PROBLEMS, st.data())
@few
def test_an_episode_that_was_cut_might_as_well_not_have_been_played(
    problems: list[Episodes], data: st.DataObject
) -> None:
    """Monte-Carlo credit of all others is what it is without it; its own weight is 0."""
    place = data.draw(st.integers(0, len(problems) - 1))
    which = data.draw(st.integers(0, len(problems[place]) - 1))
    flat = [episode for episodes in problems for episode in episodes]
    index = sum(map(len, problems[:place])) + which
    start = sum(map(len, flat[:index]))
    gone = np.isin(np.arange(sum(map(len, flat))), start + np.arange(len(flat[index])))
    rest = [episodes[:which] + episodes[which + 1 :] if i == place else episodes for i, episodes in enumerate(problems)]
    played = linear(problems)
    played.truncated[start + len(flat[index]) - 1] = True
    for method in MONTE_CARLO:
        cut, without = method(Evidence(played, 0.9)), method(Evidence(linear(rest), 0.9)) if (~gone).any() else None
        assert (cut.weights.reshape(-1, 2)[gone] == 0).all()
        if without is not None:
            assert_same(cut.advantages.reshape(-1, 2)[~gone], without.advantages.reshape(-1, 2))


@given(PROBLEMS, st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32 - 1), st.booleans())
@few
def test_td_lambda_is_the_sum_of_discounted_errors(
    problems: list[Episodes], gamma: float, lam: float, seed: int, cut: bool
) -> None:
    """Σ_l (γλ)^l δ_{t+l} written out, with random values and either all episodes terminated or all cut."""
    played = linear(problems)
    lengths = [len(episode) for episodes in problems for episode in episodes]
    ends = np.cumsum(lengths) - 1
    played.truncated[ends], played.terminated[ends] = cut, not cut
    values, bootstraps = np.random.default_rng(seed).normal(size=(2, len(played), 2))
    found = actor_critic(Evidence(played, gamma, lam, 1.0, values, bootstraps))
    behind = np.roll(values, -1, 0)
    behind[ends] = bootstraps[ends] if cut else 0.0
    errors = played.rewards + gamma * behind - values
    for first, length in zip(ends + 1 - lengths, lengths, strict=True):
        for turn in range(length):
            later = np.arange(length - turn)
            expected = ((gamma * lam) ** later)[:, None] * errors[first + turn : first + length]
            assert_same(found.advantages.reshape(-1, 2)[first + turn], expected.sum(0))
    if not cut:
        assert_same(found.targets, returns_to_go(played, gamma))


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
@given(problems=PROBLEMS, seed=st.integers(0, 2**32 - 1))
@few
def test_equal_columns_are_one_column(lam: float, problems: list[Episodes], seed: int) -> None:
    """With a shared reward, a value per agent that is the same for all gives what one value of the team gives."""
    played = linear(problems)
    played.rewards[:] = played.rewards[:, :1]
    value = np.random.default_rng(seed).normal(size=(len(played), 1))
    one, each = (
        actor_critic(Evidence(played, 0.9, lam, lam, *2 * (np.repeat(value, columns, 1),))) for columns in (1, 2)
    )
    assert_same(one.advantages, each.advantages)
    assert_same(np.repeat(one.targets, 2, 1), each.targets)
