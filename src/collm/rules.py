"""Which settings go together: what is refused before a run starts, and what its reader has to know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from collm import options
from collm.errors import ConfigError
from collm.learning.settings import CriticSettings, PolicySettings
from collm.methods import Method, method
from collm.rollout.sampling import Sampling

_NEEDS = {
    "policy.kl_coefficient": ("policy.kl", ("reward", "loss")),
    "policy.clip": ("policy.loss", ("clip-token", "clip-sequence")),
    **{f"weights.{name}": ("weights.train", ("auto", "lora")) for name in ("rank", "alpha", "targets", "quantisation")},
    "policy.importance_cap": ("rollout.engine", ("vllm",)),
    "rollout.kv_cache_gib": ("rollout.engine", ("vllm",)),
    "critic.target_every": ("critic.target", ("hard",)),
    "critic.target_rate": ("critic.target", ("polyak",)),
    "rollout.max_joint_actions": ("rollout.shape", ("tree-aligned", "tree-cross")),
}
"""Options that mean something only with certain values of another."""
_COLDEST = 0.01
"""Colder requests are silently raised to this by vLLM."""
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
"""What wandb and trackio both take."""


def check_rules(config: Any, default: Any) -> None:
    """Raise ConfigError for settings of a TrainConfig that do not go together; ``default`` has the defaults."""
    chosen = method(config.method)
    _check_policy(config.policy, config.sampling)
    _check_groups(config.rollout, config.credit.normalise, chosen)
    _check_critic(config.critic, config.rollout, chosen)
    _check_project(config.run.project)
    if config.rollout.engine == "vllm":
        _check_vllm(config, chosen)
    mine, other = options.to_mapping(config), options.to_mapping(default)
    changed = [name for name in _paths(mine) if _at(mine, name) != _at(other, name)]
    refuse_unused(chosen, changed)
    for name, (key, values) in _NEEDS.items():
        if name in changed and _at(mine, key) not in values:
            raise ConfigError(
                f"{name} = {_at(mine, name)} means something only with {key} = {' or '.join(values)}, and it is "
                f"{_at(mine, key)}. Leave {name} out, or set {key}."
            )


def caveats(config: Any) -> list[str]:
    """What a reader of the run's results has to know about its settings: where the update is not the policy gradient."""
    found = [method(config.method).caveat] if method(config.method).caveat else []
    if config.credit.normalise == "seat":
        found.append(
            "credit.normalise = seat puts every turn on one scale: turns without a signal weigh as much as others."
        )
    if config.credit.normalise == "group":
        found.append(
            "credit.normalise = group divides by the standard deviation within each group: that is biased, and all "
            "Monte-Carlo methods become the same numbers."
        )
    if config.sampling.top_p < 1 or config.sampling.top_k:
        found.append("sampling.top_p or top_k truncate what is sampled and not what is scored: the gradient is biased.")
    if config.critic.encoding == "state" and config.credit.lam < 1:
        found.append(
            "critic.encoding = state gives histories that lead to one state one value: with credit.lam below 1 the "
            "advantages lean on what the state tells."
        )
    if config.policy.length == "mean":
        found.append("policy.length = mean weighs short responses more: that is not the gradient of the return.")
    if config.policy.length == "tokens":
        found.append("policy.length = tokens divides by a number of tokens that the policies decide: a small bias.")
    return found


def _check_policy(policy: PolicySettings, sampling: Sampling) -> None:
    for name in ("epochs", "minibatches"):
        if policy.loss == "policy-gradient" and getattr(policy, name) > 1:
            raise ConfigError(
                f"policy.{name} = {getattr(policy, name)}: the policy-gradient loss allows one step on one pass over a "
                f"batch. Use policy.{name} = 1, or policy.loss = clip-token or clip-sequence for more."
            )
    if policy.kl == "reward" and (sampling.top_p < 1 or sampling.top_k):
        raise ConfigError(
            "policy.kl = reward needs sampling.top_p = 1 and no sampling.top_k: the sampler's truncated "
            "distribution would pay for a distance that the policy does not have. Use policy.kl = loss."
        )
    if policy.loss != "policy-gradient" and (sampling.top_p < 1 or sampling.top_k):
        raise ConfigError(
            "sampling.top_p < 1 and sampling.top_k need policy.loss = policy-gradient: "
            "a clipped ratio would start below 1 there."
        )
    if sampling.temperature == 0:
        raise ConfigError(
            "sampling.temperature = 0: training needs a temperature above 0; evaluation adds greedy decoding."
        )


def _check_groups(rollout: Any, normalise: str, chosen: Method) -> None:
    if rollout.samples < chosen.siblings:
        raise ConfigError(
            f"rollout.samples = {rollout.samples}: the baseline of '{chosen.name}' compares the episodes of a group, so it "
            f"needs at least {chosen.siblings}. Use rollout.samples = 4, or a method without a group, such as mareinforce."
        )
    if normalise == "group" and rollout.samples < 2:
        raise ConfigError(
            f"credit.normalise = group with rollout.samples = {rollout.samples}: a group of one has no spread. Use "
            "rollout.samples = 4, or another credit.normalise."
        )
    if rollout.shape != "linear" and rollout.samples < 2:
        raise ConfigError(
            f"rollout.shape = {rollout.shape} with rollout.samples = {rollout.samples}: a tree needs at least 2 responses "
            "per node. Use rollout.samples = 2, or rollout.shape = linear."
        )


def _check_critic(critic: CriticSettings, rollout: Any, chosen: Method) -> None:
    if critic.encoding == "caches" and rollout.shape != "linear":
        raise ConfigError(
            "critic.encoding = caches needs rollout.shape = linear: the branches of a tree share their caches. "
            "Use critic.encoding = time-order for trees."
        )
    if critic.encoding == "state":
        _check_state_critic(critic)
    if critic.model is not None and (critic.backbone == "policy" or critic.encoding == "caches"):
        raise ConfigError(
            "critic.model is a network beside the policies, with states of its own. Use critic.backbone = separate and "
            "critic.encoding = time-order or prompts with it, or leave it out."
        )
    if critic.backbone == "separate":
        return
    if chosen.critic == "joint" and not chosen.single:
        raise ConfigError(
            f"critic.backbone = policy: the critic of '{chosen.name}' reads all agents, a policy only its own history. "
            "Use critic.backbone = separate, or method collm-dc or ac."
        )
    for name, needed in (("kind", "v"), ("encoding", "time-order"), ("target", "none")):
        if getattr(critic, name) not in (needed, "auto"):
            raise ConfigError(
                f"critic.backbone = policy with critic.{name} = {getattr(critic, name)}: a value head on the policy reads "
                f"V at the end of each prompt. Use critic.{name} = {needed}, or critic.backbone = separate."
            )


def _check_state_critic(critic: CriticSettings) -> None:
    for name, needed in (("kind", "v"), ("model", None), ("backbone", "separate")):
        if getattr(critic, name) != needed:
            raise ConfigError(
                f"critic.encoding = state with critic.{name} = {getattr(critic, name)}: what reads the state is a small "
                f"network of its own for V. Leave critic.{name} out, or use critic.encoding = time-order."
            )


def _check_project(name: str) -> None:
    if not _PROJECT.fullmatch(name):
        raise ConfigError(
            f"run.project = {name!r} cannot name a project: at most 128 letters, digits and - _ . after a letter or digit."
        )


def _check_vllm(config: Any, chosen: Method) -> None:
    if chosen.critic and config.critic.encoding == "caches":
        raise ConfigError(
            "critic.encoding = caches reads the policies' caches, and those of rollout.engine = vllm cannot be read. Use "
            "critic.encoding = time-order, or rollout.engine = hf."
        )
    if config.weights.quantisation != "none":
        raise ConfigError(
            f"weights.quantisation = {config.weights.quantisation} with rollout.engine = vllm: the engine would play with "
            "other weights than those that learn. Use weights.quantisation = none, or rollout.engine = hf."
        )
    if 0 < config.sampling.temperature < _COLDEST:
        raise ConfigError(
            f"sampling.temperature = {config.sampling.temperature}: vLLM samples at {_COLDEST} or above. Use that, or "
            "rollout.engine = hf."
        )


def refuse_unused(chosen: Method, names: Iterable[str]) -> None:
    """Raise ConfigError if an option that means nothing to the method is among these names, such as ``critic.lr``."""
    for name in names:
        if any(name == path or name.startswith(f"{path}.") for path in chosen.without):
            raise ConfigError(f"{name}: '{chosen.name}' has no critic. Leave {name} out, or use a method that has one.")


def _paths(values: Mapping[str, Any], where: str = "") -> list[str]:
    """The names of all leaves of nested mappings."""
    return [
        path
        for key, value in values.items()
        for path in (_paths(value, f"{where}{key}.") if isinstance(value, Mapping) else [f"{where}{key}"])
    ]


def _at(values: Mapping[str, Any], name: str) -> Any:
    for part in name.split("."):
        values = values[part]
    return values
