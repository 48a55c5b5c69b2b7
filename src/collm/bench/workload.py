"""What one update has to do, in numbers that both sides get: a workload."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from collm.bench.models import MARKS
from collm.bench.task import Fixed, FixedOptions

_OURS = {"maac": "collm-cc", "iac": "collm-dc", "magrpo": "magrpo"}
_MARKS = 3
"""Tokens of the chat template around an observation."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """One update of forced lengths: every response has exactly ``tokens`` tokens, every episode ``turns`` turns."""

    kind: Literal["maac", "iac", "magrpo"] = "maac"
    """CoMLRL's name of the method. Ours: collm-cc, collm-dc, magrpo."""
    agents: int = 2
    """Number of agents."""
    turns: int = 2
    """Turns of every episode."""
    tokens: int = 64
    """Tokens of every response."""
    episodes: int = 96
    """Episodes per update; in trees, paths from a root to a leaf."""
    prompt: int = 64
    """Tokens of a first observation, marks of the chat template included."""
    following: int = 16
    """Words of every later observation."""
    siblings: int = 4
    """K of a tree, whose joint actions pair responses by their index."""

    @property
    def tree(self) -> bool:
        return self.kind == "magrpo"

    @property
    def problems(self) -> int:
        """Problems per update."""
        return max(1, self.episodes // self.siblings**self.turns) if self.tree else self.episodes

    @property
    def nodes(self) -> int:
        """Decision points per problem and agent: in a tree one per joint history."""
        return sum(self.siblings**turn for turn in range(self.turns)) if self.tree else self.turns

    @property
    def env_steps(self) -> int:
        """Joint actions of one update."""
        return self.problems * self.nodes * (self.siblings if self.tree else 1)

    @property
    def generated(self) -> int:
        """Tokens that all agents generate in one update."""
        return self.env_steps * self.agents * self.tokens

    @property
    def joint_history(self) -> int:
        """Tokens of a joint history at its end, without marks of a critic."""
        later = (self.turns - 1) * (self.following + _MARKS + 1)
        return self.agents * (self.prompt + self.turns * self.tokens + later)

    def task(self) -> Fixed:
        return Fixed(
            FixedOptions(self.agents, self.turns, self.prompt - _MARKS, self.following, max(96, self.problems))
        )

    def ours(self) -> dict[str, Any]:
        """The settings of a training of ours that are those of the work; all others stay at their defaults."""
        values: dict[str, Any] = {
            "rollout": {"problems": self.problems, "samples": self.siblings if self.tree else 1},
            "sampling": {"max_new_tokens": self.tokens, "temperature": 1.0},
            "evaluation": {"every": 0},
            "weights": {"train": "full"},
            "env_steps": 10**9,
        }
        if self.tree:
            values["rollout"]["shape"] = "tree-aligned"
        else:
            values["critic"] = {"warmup_updates": 0}
        return values

    @property
    def method(self) -> str:
        """Our method."""
        return _OURS[self.kind]

    def theirs(self) -> dict[str, Any]:
        """The same for a trainer of theirs: the whole update in one buffer."""
        buffer = self.problems * self.nodes
        return {
            "method": self.kind,
            "agents": self.agents,
            "turns": self.turns,
            "tokens": self.tokens,
            "problems": self.problems,
            "samples": self.siblings if self.tree else 1,
            "buffer": buffer,
            "train_batch": buffer,
            "temperature": 1.0,
            "gamma": 1.0,
            "lr": 1e-5,
            "critic_lr": 1e-5,
            "stop_ids": [],
            # A mark in a response would be lost on the way through text, and a pad would end it.
            "suppress": list(range(len(MARKS))),
            "seed": 0,
        }
