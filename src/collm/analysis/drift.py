"""How far the critics' targets move while the team learns, at the histories it visits.

V(h) moves because the team will act otherwise later. V_i(h_i) moves for that reason and for another one: what the
partner may have seen and done, P(h_−i | h_i), moves too.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from collm.analysis.game import Game, Play, Team, Values, averaged, gradient, joint_values, lifted, play


@dataclasses.dataclass(frozen=True)
class Drift:
    """Mean squared change of exact values in one update, under the histories before it; mean over turns and agents."""

    joint: float
    """E (V'(h) − V(h))²: what the critic of CoLLM-CC has to follow."""
    own: float
    """E (V_i'(h_i) − V_i(h_i))²: what the critics of CoLLM-DC have to follow."""
    future: float
    """The part of ``own`` that is due to V: the change of V, averaged over P(h_−i | h_i) from before."""
    belief: float
    """The part that is due to the change of P(h_−i | h_i)."""


def ascent(game: Game, team: Team, updates: int, lr: float) -> list[Team]:
    """The teams of a path of exact gradient steps, the given one first."""
    path = [team]
    for _ in range(updates):
        slopes = gradient(play(game, path[-1]))
        path.append([logits + lr * slope for logits, slope in zip(path[-1], slopes, strict=True)])
    return path


def drift(before: Play, after: Play) -> Drift:
    """The drift of one update."""
    old, new = joint_values(before), joint_values(after)
    turns = range(before.game.horizon)
    return Drift(*np.mean([_at(before, after, turn, old, new) for turn in turns], axis=0).tolist())


def _at(before: Play, after: Play, turn: int, old: Values, new: Values) -> tuple[float, float, float, float]:
    """The four squares at one turn."""
    weight = before.occupancy[turn]
    change = new[turn][0] - old[turn][0]
    future = averaged(before, turn, change)
    belief = averaged(after, turn, new[turn][0]) - averaged(before, turn, new[turn][0])

    def square(table: np.ndarray) -> float:
        return float((weight * lifted(before, turn, table) ** 2).sum(1).mean())

    return float(weight @ change**2), square(future + belief), square(future), square(belief)


def drifts(game: Game, path: list[Team]) -> list[Drift]:
    """The drift of every update of a path."""
    plays = [play(game, team) for team in path]
    return [drift(before, after) for before, after in itertools.pairwise(plays)]
