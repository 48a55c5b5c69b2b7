"""A two-agent Dec-POMDP that is small enough to know everything about: no sampling, no error bars.

Each turn both agents choose −1 or +1. An agent remembers its own choices and, unless it is hidden, what the partner
chose. What was chosen stays in the world: later rewards depend on the mean of a partner's past choices, seen or not.

A *layer* holds all joint histories h_t of a turn; joint action a = 2·a₁ + a₂; a *mask* says which agents see the
other's choice. The child of history h after (a, mask m) has number (h·4 + a)·masks + m in the next layer.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import numpy as np

from collm.options import Range
from collm.randomness import generator

AGENTS = 2
JOINT = 4
"""Joint actions."""
CHOICES = np.array([[a >> 1, a & 1] for a in range(JOINT)]).T
"""(agents, joint actions): each agent's choice, 0 or 1, in a joint action."""
RIGHT, SAME = 0.2, 0.3
"""What choosing +1 and choosing the same are worth."""

Team = list[np.ndarray]
"""Per turn (agents, own histories): the logit of choosing +1. The softmax of two actions, written with one number."""
Values = list[np.ndarray]
"""Per turn (columns, joint histories): one column for the team, or one per agent."""


@dataclasses.dataclass(frozen=True)
class GameOptions:
    """Which game."""

    horizon: Annotated[int, Range(1, 6)] = 3
    """Turns H."""
    reward: Literal["dense", "terminal"] = "dense"
    """A reward at every turn, or their sum at the last one."""
    hidden: Annotated[float, Range(0, 1)] = 0.5
    """Probability that an agent does not see what the partner has just chosen: 0 and every history is shared."""
    past: Annotated[float, Range(-2, 2)] = 0.5
    """What it is worth to choose as the partner did before, on average; below 0, what that costs."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """All joint histories of one turn."""

    own: np.ndarray
    """(agents, histories): number of h_i,t in the agent's own table."""
    tables: int
    """Size of an agent's own table."""
    rewards: np.ndarray
    """(histories, joint actions)."""
    past: np.ndarray
    """(agents, histories): mean of the agent's choices so far, as −1 or +1."""
    noticed: np.ndarray
    """(agents, histories): the part of the partner's mean that the agent has seen."""


class Game:
    """The game, with all of its histories laid out."""

    def __init__(self, options: GameOptions) -> None:
        self.options = options
        hidden = options.hidden
        masks = [(one, other) for one in (1, 0) for other in (1, 0)]
        chances = [((1 - hidden) if one else hidden) * ((1 - hidden) if other else hidden) for one, other in masks]
        possible = [(mask, chance) for mask, chance in zip(masks, chances, strict=True) if chance > 0]
        self.seen = np.array([mask for mask, _ in possible]).T
        """(agents, masks): whether the agent sees the partner's choice."""
        self.chances = np.array([chance for _, chance in possible])
        """(masks,)."""
        self.layers = self._layers()

    @property
    def horizon(self) -> int:
        return self.options.horizon

    @property
    def optimum(self) -> float:
        """The greatest J. The world has no chance in it, so a team that looks at nothing can follow the best plan."""
        best = np.zeros(1)
        for layer in reversed(self.layers):
            after = self.children(best)[..., 0] if len(best) > 1 else best
            best = (layer.rewards + after).max(1)
        return float(best[0])

    def _layers(self) -> list[Layer]:
        masks = len(self.chances)
        own, tables = np.zeros((AGENTS, 1), dtype=np.int64), 1
        past, noticed, earned = np.zeros((AGENTS, 1)), np.zeros((AGENTS, 1)), np.zeros(1)
        signs = 2.0 * CHOICES - 1.0
        layers = []
        for turn in range(self.horizon):
            mean = past / max(turn, 1)
            fit = (signs[0] * mean[1][:, None] + signs[1] * mean[0][:, None]) / 2
            reward = RIGHT * signs.mean(0) + SAME * signs[0] * signs[1] + self.options.past * fit
            last = turn == self.horizon - 1
            if self.options.reward == "terminal":
                earned = (earned[:, None] + reward).repeat(masks) if not last else earned
                paid = earned[:, None] + reward if last else np.zeros_like(reward)
            else:
                paid = reward
            layers.append(Layer(own, tables, paid, mean, noticed / max(turn, 1)))
            past = (past[:, :, None] + signs[:, None, :]).reshape(AGENTS, -1).repeat(masks, axis=1)
            seen = signs[::-1][:, None, :, None] * self.seen[:, None, None, :]
            noticed = (noticed[:, :, None, None] + seen).reshape(AGENTS, -1)
            own, tables = self._remember(own), tables * 2 * self._symbols
        return layers

    @property
    def _symbols(self) -> int:
        """What an agent may see of the partner: nothing, either choice, or any of the three."""
        return {0.0: 2, 1.0: 1}.get(self.options.hidden, 3)

    def _remember(self, own: np.ndarray) -> np.ndarray:
        """(agents, children): the number of each agent's own next history."""
        partner = CHOICES[::-1]
        symbol = np.where(self.seen[:, None, :] == 1, partner[:, :, None] + (self._symbols == 3), 0)
        after = (own[:, :, None, None] * 2 + CHOICES[:, None, :, None]) * self._symbols + symbol[:, None]
        return after.reshape(AGENTS, -1)

    def children(self, values: np.ndarray) -> np.ndarray:
        """(…, next histories) as (…, histories, joint actions, masks)."""
        return values.reshape(*values.shape[:-1], -1, JOINT, len(self.chances))

    def team(self, seed: int, lean: float = 0.4, spread: float = 0.6) -> Team:
        """A team that is neither blind nor good: logits normal around ``lean``."""
        draw = generator("analyze game", "team", seed)
        return [draw.normal(lean, spread, (AGENTS, layer.tables)) for layer in self.layers]


@dataclasses.dataclass(frozen=True)
class Play:
    """A team in the game: what happens how often. Lists over turns."""

    game: Game
    policy: list[np.ndarray]
    """(histories, joint actions): π(a | h) of the team."""
    scores: list[np.ndarray]
    """(agents, histories, joint actions): derivative of log π_i(a_i | h_i) by its own logit, a_i − P(+1)."""
    occupancy: list[np.ndarray]
    """(histories,): probability of the joint history."""


def play(game: Game, team: Team) -> Play:
    """Everything that the team does, with its probability."""
    reached = np.ones(1)
    policies, scores, occupancy = [], [], []
    for layer, logits in zip(game.layers, team, strict=True):
        right = (1.0 / (1.0 + np.exp(-logits)))[np.arange(AGENTS)[:, None], layer.own]
        chosen = np.where(CHOICES[:, None, :] == 1, right[:, :, None], 1.0 - right[:, :, None])
        policies.append(chosen.prod(0))
        scores.append(CHOICES[:, None, :] - right[:, :, None])
        occupancy.append(reached)
        reached = (reached[:, None, None] * policies[-1][:, :, None] * game.chances).ravel()
    return Play(game, policies, scores, occupancy)


def joint_values(played: Play) -> Values:
    """V(h_t) of the team: per turn (1, histories)."""
    game = played.game
    found: Values = []
    for turn in reversed(range(game.horizon)):
        worth = game.layers[turn].rewards
        if found:
            worth = worth + game.children(found[-1][0]) @ game.chances
        found.append((played.policy[turn] * worth).sum(1)[None])
    return found[::-1]


def gradient(played: Play) -> Team:
    """∇J, shaped like the team: per turn (agents, own histories)."""
    game, found, after = played.game, [], np.zeros(0)
    for turn in reversed(range(game.horizon)):
        layer, policy = game.layers[turn], played.policy[turn]
        worth = layer.rewards + (game.children(after) @ game.chances if len(after) else 0.0)
        after = (policy * worth).sum(1)
        pull = (played.scores[turn] * (policy * worth)).sum(2) * played.occupancy[turn]
        found.append(
            np.stack([np.bincount(own, part, layer.tables) for own, part in zip(layer.own, pull, strict=True)])
        )
    return found[::-1]


def own_values(played: Play, values: Values) -> Values:
    """V_i(h_i,t) = E[V(h_t) | h_i,t], given at every joint history: per turn (agents, histories)."""
    return [lifted(played, turn, averaged(played, turn, values[turn][0])) for turn in range(played.game.horizon)]


def averaged(played: Play, turn: int, values: np.ndarray) -> np.ndarray:
    """(agents, own table): the mean of values (histories,) over what the partner may have seen and done."""
    layer, weight = played.game.layers[turn], played.occupancy[turn]
    return np.stack(
        [
            np.bincount(own, weight * values, layer.tables) / np.maximum(np.bincount(own, weight, layer.tables), 1e-300)
            for own in layer.own
        ]
    )


def lifted(played: Play, turn: int, table: np.ndarray) -> np.ndarray:
    """(agents, histories): an own table read at every joint history."""
    return table[np.arange(AGENTS)[:, None], played.game.layers[turn].own]
