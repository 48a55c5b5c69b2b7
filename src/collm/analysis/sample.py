"""Episodes of the game as a forest: many teams at once, in arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from collm.analysis.game import AGENTS, Game
from collm.rollout.forest import Decision, Forest, Span, Transcript

_DECISION = Decision(0, 0, 0, Span(0, 1, 2), np.zeros(1, dtype=np.float32))
_TRANSCRIPT = Transcript(0)
"""Credit counts responses and episodes and looks into neither, so that one of each stands for all."""


@dataclasses.dataclass(frozen=True)
class Sampled:
    """Episodes and where they went. Node = turn·episodes + episode; decision = node·agents + agent."""

    forest: Forest
    joint: np.ndarray
    """(turns, episodes): number of the joint history h_t."""
    own: np.ndarray
    """(turns, agents, episodes): number of h_i,t."""
    scores: np.ndarray
    """(turns, agents, episodes): derivative of log π_i(a_i | h_i) by its logit."""

    def read(self, tables: Sequence[np.ndarray], of: np.ndarray) -> np.ndarray:
        """(nodes, columns): values of tables (teams, columns, joint or own histories), where ``of`` (episodes,) is the
        team; one column reads joint histories, one per agent own ones."""
        columns = tables[0].shape[1]
        found = [
            np.stack([table[of, column, self._places(turn, columns)[column]] for column in range(columns)], axis=1)
            for turn, table in enumerate(tables)
        ]
        return np.concatenate(found)

    def _places(self, turn: int, columns: int) -> np.ndarray:
        return self.own[turn] if columns > 1 else self.joint[turn][None]

    def scatter(self, values: np.ndarray, of: np.ndarray, like: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Sums of ``values`` (nodes, columns) over the visits of each history, in tables shaped like ``like``."""
        columns, episodes = values.shape[1], len(of)
        totals = []
        for turn, table in enumerate(like):
            total = np.zeros_like(table)
            part = values[turn * episodes : (turn + 1) * episodes]
            for column in range(columns):
                place = of * table.shape[2] + self._places(turn, columns)[column]
                flat = np.bincount(place, part[:, column], table.shape[0] * table.shape[2])
                total[:, column] = flat.reshape(table.shape[0], -1)
            totals.append(total)
        return totals


def sample(
    game: Game, teams: Sequence[np.ndarray], of: np.ndarray, groups: np.ndarray, draw: np.random.Generator
) -> Sampled:
    """One episode for each entry of ``of`` (episodes,), which says whose: ``teams`` is per turn (teams, agents, own
    histories) of logits. ``groups`` (episodes,) says which ones are compared."""
    episodes, every = len(of), np.arange(len(of))
    where = np.zeros(episodes, dtype=np.int64)
    joint, owned, scores, rewards = [], [], [], []
    for layer, logits in zip(game.layers, teams, strict=True):
        own = layer.own[:, where]
        right = 1.0 / (1.0 + np.exp(-np.stack([logits[of, agent, own[agent]] for agent in range(AGENTS)])))
        chosen = draw.random((AGENTS, episodes)) < right
        action = 2 * chosen[0] + chosen[1]
        joint.append(where)
        owned.append(own)
        scores.append(chosen - right)
        rewards.append(layer.rewards[where, action])
        mask = draw.choice(len(game.chances), size=episodes, p=game.chances)
        where = (where * 4 + action) * len(game.chances) + mask
    forest = _forest(game.horizon, np.stack(rewards), groups, every)
    return Sampled(forest, np.stack(joint), np.stack(owned), np.stack(scores))


def _forest(horizon: int, rewards: np.ndarray, groups: np.ndarray, every: np.ndarray) -> Forest:
    """Linear episodes, turn by turn; ``rewards`` is (turns, episodes)."""
    episodes = len(every)
    nodes = horizon * episodes
    turn = np.arange(horizon).repeat(episodes)
    return Forest(
        agents=AGENTS,
        problem=np.tile(groups, horizon),
        path=np.tile(every, horizon),
        parent=np.arange(nodes) - np.where(turn > 0, episodes, np.arange(nodes) + 1),
        turn=turn,
        group=np.tile(groups, horizon) * horizon + turn,
        rewards=rewards.reshape(-1, 1).repeat(AGENTS, axis=1),
        terminated=turn == horizon - 1,
        truncated=np.zeros(nodes, dtype=bool),
        decision=np.arange(nodes * AGENTS).reshape(nodes, AGENTS),
        decisions=(_DECISION,) * (nodes * AGENTS),
        transcripts=(_TRANSCRIPT,) * (episodes * AGENTS),
    )
