"""Training in the game with what training has: sampled batches and critics that learn as they go. Many seeds at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from collm.analysis.drift import ascent
from collm.analysis.game import AGENTS, Game, joint_values, play
from collm.analysis.learned import Kind, LearnedCritic, View
from collm.analysis.sample import Sampled, sample
from collm.credit import Credit, Evidence, actor_critic, group_mean, leave_one_out, reinforce
from collm.randomness import generator

START = 0.0
"""Where logits start, on average: neither choice is preferred, but every seed leans somewhere."""


@dataclasses.dataclass(frozen=True)
class Learning:
    """A method, as the game trains with it."""

    name: str
    credit: Callable[[Evidence], Credit]
    view: View | None = None
    """What its critics read, if it has any."""


LEARNERS = (
    Learning("mareinforce", reinforce),
    Learning("magrpo", group_mean),
    Learning("marloo", leave_one_out),
    Learning("collm-cc", actor_critic, "joint"),
    Learning("collm-dc", actor_critic, "own"),
)


@dataclasses.dataclass(frozen=True)
class Budget:
    """What every method gets."""

    seeds: int
    env_steps: int
    """Per seed."""
    episodes: int
    """Per update and seed; a multiple of the group."""
    group: int
    lr: float
    """Step on the logits, per unit of the gradient."""
    critic_lr: float
    """Step of the critics to their targets."""

    def updates(self, horizon: int) -> int:
        return max(1, self.env_steps // (self.episodes * horizon))


def train(game: Game, learning: Learning, kind: Kind, lam: float, budget: Budget) -> np.ndarray:
    """(seeds,): J of each team after the budget, computed exactly. ``kind`` and ``lam`` are read by critics only."""
    teams = _starts(game, budget.seeds)
    critic = LearnedCritic(game, learning.view, kind, budget.seeds, budget.critic_lr) if learning.view else None
    of = np.arange(budget.seeds).repeat(budget.episodes)
    groups = np.arange(len(of)) // budget.group
    for update in range(budget.updates(game.horizon)):
        # One key for all methods: they meet the same luck as long as they act alike.
        draw = generator("analyze game", "convergence", game.horizon, str(game.options.hidden), update)
        played = sample(game, teams, of, groups, draw)
        credit = learning.credit(_evidence(played, critic, of, lam))
        pull = (credit.advantages * credit.weights).reshape(-1, AGENTS) * _by_node(played.scores)
        for logits, step in zip(teams, played.scatter(pull, of, teams), strict=True):
            logits += budget.lr * step / budget.episodes
        if critic is not None and credit.targets is not None:
            critic.learn(played, credit.targets, of)
    return performance(game, teams)


def _starts(game: Game, seeds: int) -> list[np.ndarray]:
    """Per turn (seeds, agents, own histories)."""
    teams = [game.team(seed, lean=START) for seed in range(seeds)]
    return [np.stack([team[turn] for team in teams]) for turn in range(game.horizon)]


def _evidence(played: Sampled, critic: LearnedCritic | None, of: np.ndarray, lam: float) -> Evidence:
    if critic is None:
        return Evidence(played.forest, gamma=1.0)
    found = played.read(critic.tables, of)
    return Evidence(played.forest, 1.0, lam, lam, found, np.zeros_like(found))


def _by_node(scores: np.ndarray) -> np.ndarray:
    """(turns, agents, episodes) as (nodes, agents)."""
    return scores.transpose(0, 2, 1).reshape(-1, scores.shape[1])


def performance(game: Game, teams: list[np.ndarray]) -> np.ndarray:
    """(seeds,): exact J."""
    seeds = range(len(teams[0]))
    return np.array([float(joint_values(play(game, [t[seed] for t in teams]))[0][0, 0]) for seed in seeds])


def by_exact_gradient(game: Game, budget: Budget) -> np.ndarray:
    """(seeds,): J after as many steps of the exact gradient, from the same starts."""
    teams = [game.team(seed, lean=START) for seed in range(budget.seeds)]
    ends = [ascent(game, team, budget.updates(game.horizon), budget.lr)[-1] for team in teams]
    return performance(game, [np.stack([end[turn] for end in ends]) for turn in range(game.horizon)])


def failed(game: Game, performances: np.ndarray, part: float = 0.9) -> np.ndarray:
    """(seeds,): whether a team made less than ``part`` of the way from its start to the optimum."""
    start = performance(game, _starts(game, len(performances)))
    return performances < start + part * (game.optimum - start)
