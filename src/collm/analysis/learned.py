"""Critics that learn in the game, for many teams at once: a number per history, or a weight per fact about it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from collm.analysis.game import AGENTS, Game, Layer
from collm.analysis.sample import Sampled

View = Literal["joint", "own"]
Kind = Literal["table", "linear"]


class LearnedCritic:
    """V(h), or V_i(h_i) for each agent, of every team; it starts at 0.

    A ``table`` can hold any values and carries nothing from one history to another. A ``linear`` critic reads four
    facts: 1, what either agent chose so far on average (of the partner only what was seen, where it reads one
    agent's own history), and their product; whatever it learns at one history it says at all that are alike.
    """

    def __init__(self, game: Game, view: View, kind: Kind, teams: int, rate: float) -> None:
        self.kind, self.rate = kind, rate
        self.facts = [_facts(layer, view) for layer in game.layers]
        shape = [(facts.shape[:2] if kind == "table" else (len(facts), facts.shape[2])) for facts in self.facts]
        self.weights = [np.zeros((teams, *one)) for one in shape]

    @property
    def tables(self) -> list[np.ndarray]:
        """Per turn (teams, columns, histories)."""
        if self.kind == "table":
            return self.weights
        return [np.einsum("tcf,chf->tch", w, facts) for w, facts in zip(self.weights, self.facts, strict=True)]

    def learn(self, played: Sampled, targets: np.ndarray, of: np.ndarray) -> None:
        """One step to the targets (nodes, columns) of the batch."""
        tables = self.tables
        errors = played.scatter(targets - played.read(tables, of), of, tables)
        if self.kind == "table":
            visits = played.scatter(np.ones_like(targets), of, tables)
            for weights, error, count in zip(self.weights, errors, visits, strict=True):
                weights += self.rate * error / np.maximum(count, 1.0)
        else:
            episodes = len(of) / len(self.weights[0])
            for weights, error, facts in zip(self.weights, errors, self.facts, strict=True):
                weights += self.rate * np.einsum("tch,chf->tcf", error, facts) / episodes


def _facts(layer: Layer, view: View) -> np.ndarray:
    """(columns, histories, 4); over joint histories, or over each agent's own ones."""
    if view == "joint":
        one, other = layer.past
        return np.stack([np.ones_like(one), one, other, one * other], axis=-1)[None]
    own = np.zeros((AGENTS, layer.tables, 4))
    for agent in range(AGENTS):
        mine, partner = layer.past[agent], layer.noticed[agent]
        own[agent, layer.own[agent]] = np.stack([np.ones_like(mine), mine, partner, mine * partner], axis=-1)
    return own
