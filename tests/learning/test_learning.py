"""Learning, tested by learning: known optima are reached, exact values are found, and broken learners fail."""

from __future__ import annotations

import dataclasses

import pytest

from collm.credit import Credit, Evidence, actor_critic, normalised
from collm.learning.critic import TextCritic
from collm.learning.learner import Learner
from collm.learning.settings import CriticSettings, PolicySettings
from collm.models.policy import Policy
from collm.rollout.collector import Job, collect
from collm.rollout.forest import Forest
from tests.games import ONE_TOKEN, Coordination, Game, game_chat, game_policy

EPISODES = 64


def make_learner(team: list[Policy], policy: PolicySettings, critic: CriticSettings) -> Learner:
    value = TextCritic(game_policy(team[0].chat, 9), critic, [0, 1], team, 1)
    return Learner(team, [value], policy, critic, 1.0, 8192)


def assess(learner: Learner, forest: Forest, lam: float = 0.0) -> Credit:
    """Actor-critic credit of a forest."""
    found = learner.values(forest)
    assert found is not None
    return actor_critic(Evidence(forest, 1.0, lam, lam, found.values, found.bootstraps))


def play(game: Game, team: list[Policy], update: int, episodes: int = EPISODES) -> Forest:
    problem = game.problems("train")[0]
    return collect(game, team, [Job(problem, 0, i) for i in range(episodes)], ONE_TOKEN, ("game", update)).forest


def train_coordination(sign: float, settings: PolicySettings, updates: int = 40) -> float:
    """Mean return of the last batch after training with advantages times ``sign``."""
    chat = game_chat()
    team = [game_policy(chat, 0), game_policy(chat, 1)]
    learner = make_learner(team, settings, CriticSettings(lr=3e-3))
    game = Coordination()
    for update in range(updates):
        forest = play(game, team, update)
        credit = normalised(assess(learner, forest), forest, "batch")
        flipped = dataclasses.replace(credit, advantages=sign * credit.advantages)
        learner.update(forest, flipped, 1.0, ("learn", update), move=True)
    return float(play(game, team, 10_000, 256).returns().mean())


SURROGATES = {
    "paper": PolicySettings(lr=5e-3, loss="policy-gradient"),
    "clip-token": PolicySettings(lr=5e-3, loss="clip-token", epochs=2, minibatches=2),
    "clip-sequence": PolicySettings(lr=5e-3, loss="clip-sequence", epochs=2),
}


@pytest.mark.parametrize("settings", SURROGATES.values(), ids=SURROGATES)
def test_a_coordination_game_reaches_its_optimum(settings: PolicySettings) -> None:
    assert train_coordination(1.0, settings) > 0.95


def test_with_the_advantage_flipped_it_does_not() -> None:
    assert train_coordination(-1.0, SURROGATES["paper"]) < 0.2
