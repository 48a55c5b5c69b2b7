"""The table of methods. A method is a row here: what it needs, its settings, and the credit function that it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from collm import credit
from collm.credit import Credit, Evidence
from collm.errors import unknown_name

CreditFunction = Callable[[Evidence], Credit]


@dataclasses.dataclass(frozen=True)
class Method:
    """What a method needs and what it does with a forest."""

    name: str
    summary: str
    """One line for lists."""
    credit: CreditFunction
    critic: Literal["joint", "own"] | None = None
    """One critic over the joint history, one per agent over its own history, or none."""
    siblings: int = 1
    """Least group size K (``rollout.samples``) with which its baseline exists."""
    greedy: bool = False
    """Whether it plays each problem once greedily, for its baseline; those env steps count."""
    caveat: str = ""
    """What a reader of its results has to know, if its expected update is not the policy gradient."""
    single: bool = False
    """Whether one model writes all roles (the task's single-agent form)."""
    default: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings that differ from the dataclasses' in every preset but ``paper``."""
    paper: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The released optimisation settings."""

    def views(self, agents: int) -> list[list[int]]:
        """Which agents' histories each critic reads."""
        if self.critic == "joint":
            return [list(range(agents))]
        return [[agent] for agent in range(agents)] if self.critic == "own" else []

    @property
    def without(self) -> tuple[str, ...]:
        """Options that mean nothing to this method."""
        return () if self.critic else ("critic", "credit.lam", "credit.target_lam")


_RELEASED_POLICY = {
    "schedule": "constant",
    "lr_warmup_updates": 0,
    "loss": "policy-gradient",
    "minibatches": 1,
    "max_grad_norm": None,
    "weight_decay": 0.01,
}
_RELEASED_CRITIC = {
    "encoding": "prompts",
    "coefficient": 0.6,
    "normalise": "none",
    "minibatches": 1,
    "warmup_updates": 0,
    "max_grad_norm": None,
    "weight_decay": 0.01,
}
_RELEASED_ACTOR_CRITIC = {
    "rollout": {"problems": 1},
    "credit": {"lam": 0.0, "normalise": "seat"},
    "policy": {**_RELEASED_POLICY, "lr": 5e-6},
    "critic": {**_RELEASED_CRITIC, "lr": 5e-6},
}


def _released_monte_carlo(normalise: str) -> dict[str, Any]:
    """``normalise`` is "group" as released where that leaves the method itself, else "none"."""
    return {
        "rollout": {"problems": 1, "samples": 4, "shape": "tree-aligned"},
        "credit": {"normalise": normalise},
        "policy": {**_RELEASED_POLICY, "lr": 5e-6},
    }


_GROUPS: Mapping[str, Any] = {"rollout": {"problems": 6, "samples": 4}, "credit": {"normalise": "scale"}}

METHODS = {
    method.name: method
    for method in (
        Method(
            "collm-cc",
            "actor-critic with one centralised critic over the joint history",
            credit.actor_critic,
            critic="joint",
            paper=_RELEASED_ACTOR_CRITIC,
        ),
        Method(
            "collm-dc",
            "actor-critic with one decentralised critic per agent over its own history",
            credit.actor_critic,
            critic="own",
            paper=_RELEASED_ACTOR_CRITIC,
        ),
        Method(
            "magrpo",
            "Monte-Carlo returns against the mean of the group",
            credit.group_mean,
            siblings=2,
            default=_GROUPS,
            paper=_released_monte_carlo("group"),
        ),
        Method(
            "mareinforce",
            "Monte-Carlo returns without a baseline",
            credit.reinforce,
            default=_GROUPS,
            paper=_released_monte_carlo("none"),
        ),
        Method(
            "marloo",
            "Monte-Carlo returns against the mean of the others of the group (leave-one-out)",
            credit.leave_one_out,
            siblings=2,
            default=_GROUPS,
            paper=_released_monte_carlo("none"),
        ),
        Method(
            "maremax",
            "Monte-Carlo returns against the maximum of the group",
            credit.group_max,
            siblings=2,
            caveat="maremax compares with the maximum of the group: a surrogate, not an estimate of the policy gradient.",
            default={**_GROUPS, "credit": {"normalise": "batch"}},
            paper=_released_monte_carlo("none"),
        ),
        Method(
            "maremax-greedy",
            "Monte-Carlo returns against those of a greedy joint rollout",
            credit.greedy_baseline,
            greedy=True,
            default=_GROUPS,
            paper=_released_monte_carlo("none"),
        ),
        Method(
            "grpo",
            "one model in all roles: magrpo with one agent",
            credit.group_mean,
            siblings=2,
            single=True,
            default=_GROUPS,
            paper=_released_monte_carlo("group"),
        ),
        Method(
            "ac",
            "one model in all roles: actor-critic with one agent",
            credit.actor_critic,
            critic="joint",
            single=True,
            paper=_RELEASED_ACTOR_CRITIC,
        ),
    )
}


def method(name: str) -> Method:
    """The method of this name. Raises ConfigError, naming the nearest one, if there is none."""
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]
