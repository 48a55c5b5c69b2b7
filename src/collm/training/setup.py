"""From a configuration to the parts of a training: task, team, critics, learner."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from collm.config import TrainConfig
from collm.errors import ConfigError
from collm.learning.critic import Critic
from collm.learning.learner import Learner
from collm.methods import Method, method
from collm.models.policy import Policy, load_policies, weights_hash
from collm.rollout.collector import inside_task
from collm.tasks.protocol import SPLITS, Task
from collm.tasks.registry import make_task


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a training works with."""

    task: Task
    method: Method
    policies: list[Policy]
    learner: Learner
    gamma: float
    model_hash: str


def assemble(config: TrainConfig[Any]) -> Parts:
    """Build everything a training needs; the global random state is not touched."""
    task = make_task(config.task_name, config.task)
    chosen = method(config.method)
    device = torch.device(config.run.device)
    policies = load_policies(config.model, task.agents, device)
    check_problems(task, policies, config)
    outputs = task.agents if task.per_agent_rewards and chosen.critic == "joint" else 1
    critics = [
        Critic(backbone, view, task.agents, outputs, config.critic.normalise)
        for view in chosen.views(task.agents)
        for backbone in load_policies(config.model, 1, device)
    ]
    for critic in critics:
        critic.model.to(device)
    learner = Learner(
        policies, critics, config.policy, config.critic, config.sampling.temperature, config.run.token_budget
    )
    gamma = task.gamma if config.credit.gamma is None else config.credit.gamma
    return Parts(task, chosen, policies, learner, gamma, weights_hash(policies[0].model))


def check_problems(task: Task, policies: list[Policy], config: TrainConfig[Any]) -> None:
    """Raise ConfigError, before anything starts, if a split is empty or a first observation leaves no room to answer."""
    limits = [policy.context for policy in policies]
    limit = min([*limits, config.rollout.max_history] if config.rollout.max_history else limits)
    for split in SPLITS:
        problems = task.problems(split)
        if not problems:
            raise ConfigError(f"the task '{task.name}' has no {split} problems; training needs all three splits.")
        with inside_task(task, problems[0], 0):
            seen = task.reset(problems[0], 0).observations
        longest = max(len(policy.chat.opening(one)) for policy, one in zip(policies, seen, strict=True))
        if longest + config.sampling.max_new_tokens > limit:
            raise ConfigError(
                f"sampling.max_new_tokens = {config.sampling.max_new_tokens}: at most {limit - longest} fit here "
                f"(the first observation of problem {problems[0].id!r} has {longest} of {limit} tokens)."
            )
