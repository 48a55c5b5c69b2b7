"""Games of two turns in which the values of all histories can be computed, and teams that play them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch

from collm.models.policy import Policy
from collm.tasks import Message, Problem, Step
from tests.games import Memory, choice, game_chat, game_policy


class Glimpse(Memory):
    """Memory, in which both agents are told at turn 1 whether their choices were alike."""

    def step(self, problem: Problem, state: Any, actions: Sequence[str]) -> Step:
        step = super().step(problem, state, actions)
        if step.terminated:
            return step
        one, other = step.state[-1]
        return Step(step.state, ((Message("user", f"next {1 + (one == other)}"),),) * 2, step.reward, {})


class Hidden(Memory):
    """Memory, in which nothing is told: the partner's choice is hidden."""


CHAT = game_chat()


def decided(seed: int) -> Policy:
    """A random policy that prefers some words clearly."""
    policy = game_policy(CHAT, seed)
    with torch.no_grad():
        policy.model.get_output_embeddings().weight.mul_(12.0)
    return policy


TEAMS = [[decided(0), decided(1)], [decided(2), decided(3)]]


def chance_of_one(policy: Policy, tokens: Sequence[int]) -> float:
    """The chance that the next word is choice 1."""
    with torch.no_grad():
        logits = policy.logits(policy.hidden(torch.tensor([list(tokens)])))[0, -1]
    chances = torch.softmax(logits.double(), -1)
    return sum(chance for token, chance in enumerate(chances.tolist()) if choice(CHAT.text([token])) == 1)


def first_chances(game: Memory, policy: Policy, agent: int) -> list[float]:
    """The chance of each token at the first turn."""
    with torch.no_grad():
        opening = torch.tensor([CHAT.opening(game.reset(Problem("only")).observations[agent])])
        return list(torch.softmax(policy.logits(policy.hidden(opening))[0, -1].double(), -1).tolist())


def value_at(game: Memory, team: Sequence[Policy], first: tuple[int, int], power: int = 1) -> float:
    """V(h_1): what the second turn is worth after these two tokens; or a higher moment of it."""
    start = game.reset(Problem("only"))
    state = tuple(choice(CHAT.text([token])) for token in first)
    step = game.step(Problem("only"), (), [CHAT.text([token]) for token in first])
    assert step.observations is not None
    ones = []
    for agent, policy in enumerate(team):
        tokens = [*CHAT.opening(start.observations[agent]), first[agent]]
        tokens += CHAT.following(step.observations[agent], first[agent])
        ones.append(chance_of_one(policy, tokens))
    total = 0.0
    for then, beside in itertools.product((0, 1), repeat=2):
        chance = (ones[0] if then else 1 - ones[0]) * (ones[1] if beside else 1 - ones[1])
        total += chance * game.reward([state, (then, beside)]) ** power  # type: ignore[list-item]
    return total


def own_value(game: Memory, team: Sequence[Policy], agent: int, first: tuple[int, int]) -> float:
    """V_i(h_i,1): the mean of V(h_1) over the partner's first tokens that look the same to this agent."""
    partner = 1 - agent

    def seen(tokens: tuple[int, int]) -> Any:
        step = game.step(Problem("only"), (), [CHAT.text([token]) for token in tokens])
        assert step.observations is not None
        return step.observations[agent]

    weight = total = 0.0
    for token, chance in enumerate(first_chances(game, team[partner], partner)):
        tokens = (first[0], token) if agent == 0 else (token, first[1])
        if seen(tokens) == seen(first):
            weight, total = weight + chance, total + chance * value_at(game, team, tokens)
    return total / weight
