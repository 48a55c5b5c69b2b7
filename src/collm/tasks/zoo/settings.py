"""What :func:`collm.from_parallel_env` is given, and what of it is refused before anything is played."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from collm.errors import ConfigError, unknown_name
from collm.tasks.function_settings import check_name
from collm.tasks.protocol import SPLITS, JointAction, Split
from collm.tasks.rows import RowProblem, split_rows
from collm.tasks.zoo.seat import Act, Observe

Ceiling = float | Callable[[int], float]
"""A number, or a function of the seed."""
Names = Sequence[str] | Mapping[str, Sequence[str]]
"""The names of a Discrete space's actions: of all agents, or by agent."""
Seeds = Mapping[str, Iterable[int]]
"""The seeds of each split."""

SEEDS: Seeds = {"train": range(512), "validation": range(512, 576), "test": range(576, 704)}


@dataclasses.dataclass(frozen=True)
class Given:
    """What :func:`from_parallel_env` was given."""

    make_env: Callable[[], Any]
    name: str
    turns: int
    ceiling: Ceiling
    rules: str | Mapping[str, str] | None
    actions: Names
    default: Any
    observe: Observe | None
    act: Act | None
    repeat: int
    reward: Literal["team", "agent"]
    best: Callable[[int], Sequence[JointAction]] | None
    gamma: float
    kept: int

    def bound(self, seed: int) -> float:
        return float(self.ceiling(seed) if callable(self.ceiling) else self.ceiling)

    def rules_for(self, agent: str, agents: Sequence[str]) -> str:
        """What an agent is told first."""
        if isinstance(self.rules, str):
            return self.rules
        if self.rules is not None:
            return self.rules[agent]
        others = ", ".join(other for other in agents if other != agent)
        return f"You are {agent}, in a game with {others}." if others else f"You are {agent}."

    def names_for(self, agent: str) -> Sequence[str]:
        return self.actions.get(agent, ()) if isinstance(self.actions, Mapping) else self.actions


def check_given(given: Given) -> None:
    """Raise ConfigError for values that are not allowed."""
    check_name(given.name)
    if not callable(given.make_env):
        raise ConfigError(
            "make_env must be a function that makes an environment, such as lambda: my_game.parallel_env()."
        )
    for name, value in (("turns", given.turns), ("repeat", given.repeat), ("kept", given.kept)):
        if type(value) is not int or value < 1:
            raise ConfigError(f"{name} = {value!r:.80}: must be a whole number of at least 1.")
    if not callable(given.ceiling) and not _is_finite(given.ceiling):
        raise ConfigError(f"ceiling = {given.ceiling!r:.80}: must be a finite number, or a function of the seed.")
    if not _is_finite(given.gamma) or not 0 <= given.gamma <= 1:
        raise ConfigError(f"gamma = {given.gamma!r:.80}: must be a number from 0 to 1.")
    if given.reward not in ("team", "agent"):
        raise unknown_name("value for reward", given.reward, ("team", "agent"))
    for name, function in (("observe", given.observe), ("act", given.act), ("best", given.best)):
        if function is not None and not callable(function):
            raise ConfigError(f"{name} = {function!r:.80}: must be a function, or left out.")


def check_agents(given: Given, agents: Sequence[str]) -> None:
    """Raise ConfigError if rules or names of actions are for other agents than the environment has."""
    if not agents:
        raise ConfigError("the environment has no possible_agents; let it name them before its first reset.")
    for what, value in (("rules", given.rules), ("actions", given.actions)):
        for name in value if isinstance(value, Mapping) else ():
            if name not in agents:
                raise unknown_name(f"agent in {what}", name, agents)
    missing = [agent for agent in agents if isinstance(given.rules, Mapping) and agent not in given.rules]
    if missing:
        raise ConfigError(f"rules has none for {', '.join(missing)}; give every agent its rules, or one text for all.")


def seed_problems(seeds: Seeds) -> dict[Split, tuple[RowProblem, ...]]:
    """The problems of each split, ``seed-0``, ``seed-1``, …; raises ConfigError for seeds that cannot be."""
    if not isinstance(seeds, Mapping):
        raise ConfigError("seeds must be a mapping, such as {'train': range(200), 'test': range(200, 260)}.")
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, some in seeds.items():
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        rows[split] = [seed_row(seed, split) for seed in some]
    return split_rows(rows, "id", held_out=0.5, seed=0)


def seed_row(seed: Any, split: str) -> dict[str, Any]:
    if type(seed) is not int or seed < 0:
        raise ConfigError(f"seeds['{split}'] has {seed!r:.80}: seeds are whole numbers of at least 0.")
    return {"id": f"seed-{seed}", "seed": seed}


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
