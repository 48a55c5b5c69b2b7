"""From a configuration to the parts of a training: task, team, critics, learner."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from collm.config import TrainConfig
from collm.errors import ConfigError
from collm.learning.cache_critic import CacheCritic
from collm.learning.critic import Critic, TextCritic
from collm.learning.learner import Learner
from collm.learning.state_critic import StateCritic
from collm.methods import Method, method
from collm.models.policy import Policy
from collm.models.stack import same_shape
from collm.rollout.engines import Engine, make_engine
from collm.rollout.referee import begin, checked_numbers, inside_task
from collm.rollout.standing import OwnStanding, Standing
from collm.tasks.protocol import SPLITS, Task
from collm.tasks.registry import make_task, require_registered, require_same, single_form
from collm.training.team import critic_network, model_hash, references, side_by_side_threads, team_of, token_budget


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a training works with."""

    task: Task
    method: Method
    policies: list[Policy]
    learner: Learner
    gamma: float
    model_hash: str
    engine: Engine


def build_task(config: TrainConfig[Any], given: Task | None = None) -> Task:
    """The task that a configuration trains on: in its single-agent form for methods with one model in all roles.

    ``given`` is a task that is an object and no name. Raises ConfigError if it is missing or another one, and if the
    method needs the single-agent form and the task has none.
    """
    if given is None:
        require_registered(config.task_name, "collm.train(config, out, task=task)")
        task = make_task(config.task_name, config.task)
    else:
        require_same(given, config.task)
        task = given
    if not method(config.method).single:
        return task
    return single_form(task, config.method, "a method for teams, such as magrpo")


def assemble(config: TrainConfig[Any], given: Task | None = None, policies: list[Policy] | None = None) -> Parts:
    """Build everything a training needs, with a task that is ``given``, around these policies or new ones.

    The global random state is not touched.
    """
    task = build_task(config, given)
    chosen = method(config.method)
    if policies is None:
        policies = team_of(config, task.agents)
    check_problems(task, policies, config)
    check_branching(task, config)
    gamma = task.gamma if config.credit.gamma is None else config.credit.gamma
    started_from = model_hash(policies)
    rollout, device = config.rollout, config.run.device
    engine = make_engine(rollout.engine, policies, device, rollout.max_history, rollout.kv_cache_gib)
    return Parts(task, chosen, policies, make_learner(config, task, policies), gamma, started_from, engine)


def make_learner(config: TrainConfig[Any], task: Task, policies: list[Policy]) -> Learner:
    """The team's learner, with the critics and the reference policies that its settings ask for."""
    chosen = method(config.method)
    return Learner(
        policies,
        [
            make_critic(config, chosen, task, view, policies, place)
            for place, view in enumerate(chosen.views(task.agents))
        ],
        config.policy,
        config.critic,
        config.sampling.temperature,
        token_budget(config, policies),
        references(config, policies),
        side_by_side_threads(config, policies),
    )


def make_critic(
    config: TrainConfig[Any], chosen: Method, task: Task, view: list[int], policies: list[Policy], place: int
) -> Critic:
    """The critic that reads these agents' histories, or the task's state as far as it may."""
    outputs = task.agents if task.per_agent_rewards and chosen.critic == "joint" else 1
    if config.critic.encoding == "state":
        key, device = ("critic", config.seed, place), policies[view[0]].device
        standing = Standing(task) if chosen.critic == "joint" else OwnStanding(task)
        return StateCritic(standing, config.critic, view, outputs, device, key)
    if config.critic.backbone == "policy":
        return TextCritic(policies[view[0]], config.critic, view, policies, outputs)
    backbone = critic_network(config, policies, view[0], place)
    kind = CacheCritic if reads_caches(config, [policies[agent] for agent in view]) else TextCritic
    return kind(backbone, config.critic, view, policies, outputs)


def reads_caches(config: TrainConfig[Any], team: Sequence[Policy]) -> bool:
    """Whether a critic of these agents reads their caches."""
    if config.critic.model is not None:
        return False
    if config.critic.encoding != "auto":
        return config.critic.encoding == "caches"
    one = all(policy.base is team[0].base or same_shape(policy.base, team[0].base) for policy in team)
    return one and team[0].base.small and config.rollout.shape == "linear" and config.rollout.engine == "hf"


def check_branching(task: Task, config: TrainConfig[Any]) -> None:
    """Raise ConfigError if a node of a tree has more joint actions than the settings allow."""
    branching = config.rollout.branching()
    count = len(branching.joint(task.agents)) if branching else 1
    if count > config.rollout.max_joint_actions:
        raise ConfigError(
            f"rollout.shape = {config.rollout.shape} with rollout.samples = {config.rollout.samples} and {task.agents} "
            f"agents makes {count} joint actions per node, above rollout.max_joint_actions = "
            f"{config.rollout.max_joint_actions}. Use fewer samples, rollout.shape = tree-aligned, or a higher limit."
        )
    whole = sum(count**turn for turn in range(1, task.turns + 1)) if branching else 0
    if whole > config.env_steps:
        raise ConfigError(
            f"one tree of rollout.shape = {config.rollout.shape} has up to {whole:,} joint actions over {task.turns} turns, "
            f"above the budget env_steps = {config.env_steps:,}. Use fewer samples, agents or turns, "
            "rollout.shape = tree-aligned or linear, or a larger budget."
        )


def check_problems(task: Task, policies: list[Policy], config: TrainConfig[Any]) -> None:
    """Raise ConfigError, before anything starts, if a split is empty or a first observation leaves no room to answer."""
    limits = [policy.context for policy in policies]
    limit = min([*limits, config.rollout.max_history] if config.rollout.max_history else limits)
    for split in SPLITS:
        problems = task.problems(split)
        if not problems:
            raise ConfigError(f"the task '{task.name}' has no {split} problems; training needs all three splits.")
        seen = begin(task, problems[0], 0).observations
        longest = max(len(policy.chat.opening(one)) for policy, one in zip(policies, seen, strict=True))
        if longest + config.sampling.max_new_tokens > limit:
            raise ConfigError(
                f"the first observation of problem {problems[0].id!r} has {longest} tokens, and with "
                f"sampling.max_new_tokens = {config.sampling.max_new_tokens} it does not fit into the {limit} of "
                f"{'rollout.max_history' if limit == config.rollout.max_history else 'the model'}: at least "
                f"{longest + config.sampling.max_new_tokens} are needed."
            )
    check_rewards(task)


def check_rewards(task: Task) -> None:
    """Raise ConfigError if the task's rewards are not one for the team, or one per agent as it says."""
    problem = task.problems("train")[0]
    state = begin(task, problem, 0).state
    with inside_task(task, problem, 0):
        reward = task.step(problem, state, [task.empty_action(agent) for agent in range(task.agents)]).reward
        checked_numbers(reward if isinstance(reward, tuple) else (reward,), reward)
    if not isinstance(reward, tuple):
        return
    if len(reward) != task.agents:
        raise ConfigError(
            f"the task '{task.name}' returns {len(reward)} rewards for {task.agents} agents. Return one number for the "
            "team, or a tuple with one per agent."
        )
    if not task.per_agent_rewards:
        raise ConfigError(
            f"the task '{task.name}' returns a reward per agent and does not say so. Set per_agent_rewards = True in it, "
            "so that critics learn a value per agent, or return one number for the team."
        )
