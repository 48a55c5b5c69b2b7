"""Training in the game: a method that works, works; many teams at once are as one by one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from collm.analysis.convergence import LEARNERS, Budget, by_exact_gradient, failed, train
from collm.analysis.game import Game, GameOptions
from collm.analysis.learned import LearnedCritic
from collm.evaluation.stats import wilson

BUDGET = Budget(seeds=6, env_steps=3200, episodes=16, group=4, lr=4.0, critic_lr=0.3)
METHODS = {learning.name: learning for learning in LEARNERS}


@pytest.mark.parametrize("name", ["marloo", "collm-cc", "collm-dc"])
def test_methods_learn_the_easy_game(name: str) -> None:
    game = Game(GameOptions(2, "dense", 0.5))
    raw = train(game, METHODS[name], "linear", 0.9, dataclasses.replace(BUDGET, lr=1e-9))
    reached = train(game, METHODS[name], "linear", 0.9, BUDGET)
    assert reached.mean() > raw.mean() + 0.8
    assert failed(game, reached).mean() <= 0.5
    assert failed(game, raw).all()


def test_the_exact_gradient_climbs() -> None:
    game = Game(GameOptions(2, "terminal", 1.0))
    assert failed(game, by_exact_gradient(game, BUDGET)).mean() <= 0.5


@pytest.mark.parametrize("view", ["joint", "own"])
def test_a_linear_critic_tells_histories_apart_by_their_facts(view: str) -> None:
    game = Game(GameOptions(3, "dense", 0.5))
    critic = LearnedCritic(game, view, "linear", 2, 0.1)  # type: ignore[arg-type]
    critic.weights[2][:] = np.array([0.0, 1.0, 0.0, 0.0])
    table = critic.tables[2]
    layer = game.layers[2]
    if view == "joint":
        np.testing.assert_allclose(table[0, 0], layer.past[0])
    else:
        for agent in range(2):
            np.testing.assert_allclose(table[1, agent][layer.own[agent]], layer.past[agent])


def test_wilson_by_hand() -> None:
    low, high = wilson(0.5, 4)
    assert low == pytest.approx(0.15, abs=0.005)
    assert high == pytest.approx(0.85, abs=0.005)
