"""From a configuration to the models of a training: the agents' policies, the critics' networks, the reference."""

from __future__ import annotations

from typing import Any

import torch

from collm.config import TrainConfig
from collm.errors import ConfigError
from collm.models.base import SMALL, weights_hash
from collm.models.loading import load_base, load_policies, one_for_each, trains_adapters, with_adapter
from collm.models.policy import Policy


def team_of(config: TrainConfig[Any], agents: int) -> list[Policy]:
    """New policies, one per agent."""
    return load_policies(models(config, agents), agents, config.run.device, config.weights, config.seed)


def models(config: TrainConfig[Any], agents: int) -> list[str]:
    """The model of each agent. Raises ConfigError if they are not one, or one for each."""
    return one_for_each(config.models, agents)


def model_hash(policies: list[Policy]) -> str:
    """Which models a result started from; of several, in the order of the agents."""
    bases = {id(policy.base): policy for policy in policies}
    hashes = {place: weights_hash(policy.model) for place, policy in bases.items()}
    return "+".join(dict.fromkeys(hashes[id(policy.base)] for policy in policies))


def untrained(config: TrainConfig[Any], policies: list[Policy]) -> list[Policy]:
    """The policies as they were before any training: without their adapters, or loaded again."""
    if all(policy.adapter is not None for policy in policies):
        plain = {id(policy.base): Policy(policy.base) for policy in policies}
        return [plain[id(policy.base)] for policy in policies]
    return team_of(config, len(policies))


def critic_network(config: TrainConfig[Any], policies: list[Policy], agent: int, place: int) -> Policy:
    """What the critic at ``place`` reads with: an adapter on this agent's base, or a model of its own, maybe another one."""
    policy, other = policies[agent], config.critic.model
    if other is None and policy.adapter is not None:
        return with_adapter(policy.base, f"critic-{place}", config.seed)
    name = models(config, len(policies))[agent] if other is None else other
    base = load_base(name, config.run.device, config.weights)
    return with_adapter(base, f"critic-{place}", config.seed) if trains_adapters(name, config.weights) else Policy(base)


def token_budget(config: TrainConfig[Any], policies: list[Policy]) -> int:
    """Padded tokens of one learning pass: as asked for, or what the states of the widest model leave room for."""
    if config.run.token_budget is not None:
        return config.run.token_budget
    widest = max(_state_bytes(policy) for policy in policies)
    if any(policy.device.type != "cpu" for policy in policies):
        return min(32_768, max(256, (1 << 32) // widest))
    # Large networks fill the memory with gradients and optimiser states, and gain nothing from wider passes.
    room = 1 << 29 if all(policy.base.small for policy in policies) else 1 << 28
    return min(4096, max(256, room // widest))


def _state_bytes(policy: Policy) -> int:
    """About what one token's states take in memory until the gradient has passed: inputs of all products, norms and
    activations of every layer."""
    config = policy.base.config
    wide = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    numbers = config.num_hidden_layers * (14 * config.hidden_size + 6 * wide)
    return int(numbers) * (2 if policy.base.autocast else 4)


def side_by_side_threads(config: TrainConfig[Any], policies: list[Policy]) -> int:
    """How many processor threads the updates of different networks divide; 1: one network after the other, all threads
    for each. Networks that share a base share state; large ones keep all threads busy, and their gradients do not stay
    at the same time."""
    apart = len({id(policy.base) for policy in policies}) == len(policies) and not any(p.adapter for p in policies)
    able = apart and config.critic.backbone == "separate" and all(policy.device.type == "cpu" for policy in policies)
    if config.run.overlap and not able:
        raise ConfigError(
            "run.overlap = true: networks are updated side by side on a processor and where they share no weights. Leave "
            "it out, or set weights.train = full and critic.backbone = separate."
        )
    small = max(sum(p.numel() for p in policy.own.parameters()) for policy in policies) <= SMALL
    wanted = small if config.run.overlap is None else config.run.overlap
    return torch.get_num_threads() if able and wanted else 1


def references(config: TrainConfig[Any], policies: list[Policy]) -> list[Policy] | None:
    """The frozen policy of each agent that a KL is taken to, if one is."""
    if config.policy.kl == "none":
        return None
    plain: dict[str, Policy] = {}
    for name, policy in zip(models(config, len(policies)), policies, strict=True):
        if name not in plain:
            base = policy.base if policy.adapter else load_base(name, config.run.device, config.weights)
            plain[name] = Policy(base)
            if policy.adapter is None:
                base.model.requires_grad_(False)
    return [plain[name] for name in models(config, len(policies))]
