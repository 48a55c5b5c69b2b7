"""Learning, tested by learning: known optima are reached, exact values are found, and broken learners fail."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from collm.credit import actor_critic
from collm.learning import critic as critic_module
from collm.learning.critic import Critic, Reading
from collm.learning.learner import Learner
from collm.learning.settings import CriticSettings, PolicySettings
from collm.models.policy import Policy
from collm.rollout.collector import Job, collect
from collm.rollout.forest import Forest
from collm.rollout.sampling import log_distribution
from tests.games import ONE_TOKEN, Coordination, Game, Memory, choice, game_chat, game_policy

EPISODES = 64


def make_learner(team: list[Policy], policy: PolicySettings, critic: CriticSettings) -> Learner:
    value = Critic(game_policy(team[0].chat, 9), [0, 1], 2, 1, normalise=True)
    return Learner(team, [value], policy, critic, 1.0, 8192)


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
        credit = actor_critic(forest, *learner.values(forest), gamma=1.0, lam=0.0, normalise=True)
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


def exact_values(game: Memory, team: list[Policy]) -> dict[tuple[tuple[int, int], ...], float]:
    """V of every joint token history of the two-turn game, enumerated over all tokens of both agents."""

    def probabilities(agent: int, first: int | None) -> np.ndarray:
        chat = team[agent].chat
        tokens = list(chat.opening(game.reset(game.problem("")).observations[agent]))
        if first is not None:
            following = chat.following(game.step(game.problem(""), (), ["a", "a"]).observations[agent], first)
            tokens += [first, *following]
        with torch.no_grad():
            logits = team[agent].logits(team[agent].hidden(torch.tensor([tokens])))[0, -1]
        return log_distribution(logits, 1.0).double().exp().numpy()

    def meant(agent: int, token: int) -> int:
        return choice(team[agent].chat.text([token]))

    size = range(len(team[0].chat.tokenizer))
    first = [probabilities(agent, None) for agent in range(2)]
    second = [[probabilities(agent, token) for token in size] for agent in range(2)]
    choices = [[meant(agent, token) for token in size] for agent in range(2)]
    values: dict[tuple[tuple[int, int], ...], float] = {(): 0.0}
    for a, b in itertools.product(size, size):
        start = (choices[0][a], choices[1][b])
        worth = sum(
            second[0][a][c] * second[1][b][d] * game.reward((start, (choices[0][c], choices[1][d])))
            for c, d in itertools.product(size, size)
        )
        values[((a, b),)] = worth
        values[()] += first[0][a] * first[1][b] * (game.reward((start,)) + worth)
    return values


def critic_errors() -> np.ndarray:
    """Root-mean-square error of the critic at each turn after training on play of a fixed team.

    In reward units; the exact values of the second turn spread by 0.92.
    """
    chat = game_chat()
    team = [game_policy(chat, 0), game_policy(chat, 1)]
    game = Memory()
    exact = exact_values(game, team)
    learner = make_learner(team, PolicySettings(), CriticSettings(lr=2e-3, epochs=8))
    for update in range(80):
        forest = play(game, team, update, 128)
        credit = actor_critic(forest, *learner.values(forest), gamma=1.0, lam=0.0, normalise=True)
        learner.update(forest, credit, 1.0, ("learn", update), move=False)
    forest = play(game, team, 10_000, 256)
    values, _ = learner.values(forest)
    errors: list[list[float]] = [[], []]
    for node in range(len(forest)):
        path, turn = int(forest.path[node]), int(forest.turn[node])
        spans = [(forest.transcript(path, agent), forest.transcript(path, agent).spans[0]) for agent in range(2)]
        history = (tuple(t.tokens[span.said] for t, span in spans),) if turn else ()
        errors[turn].append(float(values[node, 0]) - exact[history])  # type: ignore[index]
    return np.array([np.sqrt(np.mean(np.square(e))) for e in errors])


def test_the_critic_finds_the_exact_values_turn_by_turn() -> None:
    assert (critic_errors() < 0.3).all()


def test_a_critic_fed_the_wrong_turn_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading every value one turn too early leaves the second turn's value without the first turn's actions."""
    right = critic_module.readings

    def too_early(*args: object) -> list[Reading]:
        return [
            dataclasses.replace(reading, places=[reading.places[0], *reading.places[:-1]])
            for reading in right(*args)  # type: ignore[arg-type]
        ]

    monkeypatch.setattr(critic_module, "readings", too_early)
    assert critic_errors().max() > 0.6
