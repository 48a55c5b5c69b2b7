"""The table of methods. A method is a row here: what it needs, and the credit function that it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np

from collm.credit import Credit, actor_critic
from collm.errors import unknown_name
from collm.rollout.forest import Forest

CreditFunction = Callable[[Forest, np.ndarray, np.ndarray, float, float, bool], Credit]
"""(forest, values, bootstraps, γ, λ, normalise) → credit."""


@dataclasses.dataclass(frozen=True)
class Method:
    """What a method needs and what it does with a forest."""

    name: str
    summary: str
    """One line for lists."""
    credit: CreditFunction
    critic: Literal["joint", "own"] | None
    """One critic over the joint history, one per agent over its own history, or none."""

    def views(self, agents: int) -> list[list[int]]:
        """Which agents' histories each critic reads."""
        if self.critic == "joint":
            return [list(range(agents))]
        return [[agent] for agent in range(agents)] if self.critic == "own" else []


METHODS = {
    method.name: method
    for method in (
        Method("collm-cc", "actor-critic with one centralised critic over the joint history", actor_critic, "joint"),
    )
}


def method(name: str) -> Method:
    """The method of this name. Raises ConfigError, naming the nearest one, if there is none."""
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]
