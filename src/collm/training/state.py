"""Everything that changes during a run, as tensors and JSON: what a checkpoint holds (DESIGN, contract 9)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from collm.credit import RunningReturns
from collm.errors import CheckpointError
from collm.learning.learner import Learner
from collm.tasks.inside import inside_memory
from collm.tasks.protocol import Task
from collm.training.metrics import to_plain

_COUNTERS = ("update", "env_steps", "bad_in_a_row")


@dataclasses.dataclass
class Progress:
    """The counters of a run, and its running means."""

    returns: RunningReturns
    """What responses were credited with, on average: the baseline of those that have no group left."""
    update: int = 0
    env_steps: int = 0
    bad_in_a_row: int = 0
    """Updates in a row with a skipped optimiser step."""
    seconds: float = 0.0
    """Wall-clock time spent training; kept in the metrics, not in checkpoints, which are the same for every machine."""


def gather(learner: Learner, progress: Progress, task: Task) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the JSON state of a run. Raises TaskError if the task's memory cannot be kept."""
    tensors: dict[str, torch.Tensor] = {}
    for name, module in _modules(learner).items():
        tensors.update({f"{name}.{key}": value for key, value in module.state_dict().items()})
    for name, optimiser in _optimisers(learner).items():
        for index, slots in optimiser.state_dict()["state"].items():
            tensors.update({f"{name}.{index}.{slot}": torch.as_tensor(value) for slot, value in slots.items()})
    tensors["returns.total"] = torch.from_numpy(progress.returns.total.copy())
    tensors["returns.weight"] = torch.from_numpy(progress.returns.weight.copy())
    state = {
        "progress": {name: getattr(progress, name) for name in _COUNTERS},
        "skipped": learner.skipped,
        "versions": [policy.version for policy, _ in learner.seats],
    }
    if (memory := memory_of(task)) is not None:
        state["task"] = memory
    return tensors, state


def restore(
    learner: Learner, progress: Progress, task: Task, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]
) -> None:
    """Put a checkpoint back. Raises CheckpointError if it belongs to another model, method or version of the task."""
    try:
        for name, module in _modules(learner).items():
            module.load_state_dict(_under(tensors, name))
        for name, optimiser in _optimisers(learner).items():
            slots: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in _under(tensors, name).items():
                index, _, slot = key.partition(".")
                slots.setdefault(int(index), {})[slot] = value
            optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})
        learner.skipped = int(state["skipped"])
        for (policy, _), version in zip(learner.seats, state["versions"], strict=True):
            policy.version = int(version)
        progress.returns.total[:] = tensors["returns.total"].numpy()
        progress.returns.weight[:] = tensors["returns.weight"].numpy()
        for name in _COUNTERS:
            setattr(progress, name, int(state["progress"][name]))
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"the checkpoint does not fit this run's model and method: {error}") from error
    if "task" in state:
        _remember(task, state["task"])


def memory_of(task: Task) -> dict[str, Any] | None:
    """What a task found out and checkpoints keep. Raises TaskError if it cannot be kept."""
    with inside_memory(task):
        memory: dict[str, Any] | None = to_plain(task.memory(), float, "memory")
    return memory


def _remember(task: Task, memory: Mapping[str, Any]) -> None:
    try:
        task.remember(memory)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"what the task '{task.name}' knew is in the checkpoint, and cannot be read here ({error}): go on with the "
            "version that wrote it."
        ) from error


def restore_policies(policies: list[Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Put only the trained policies of a checkpoint back, for evaluation and play: nothing of a critic is read."""
    try:
        for place, policy in enumerate(policies):
            policy.own.load_state_dict(_under(tensors, f"policy-{place}"))
    except RuntimeError as error:
        raise CheckpointError(f"the checkpoint does not fit this run's model: {error}") from error


def _modules(learner: Learner) -> dict[str, torch.nn.Module]:
    policies = {f"policy-{place}": policy.own for place, (policy, _) in enumerate(learner.seats)}
    critics = {f"critic-{place}": critic.model for place, critic in enumerate(learner.critics)}
    slow = {f"slow-{place}": critic.slow for place, critic in enumerate(learner.critics) if critic.slow is not None}
    return {**policies, **critics, **slow}


def _optimisers(learner: Learner) -> dict[str, torch.optim.Optimizer]:
    policies = {f"optimiser-policy-{place}": o for place, o in enumerate(learner.policy_optimisers)}
    return {**policies, **{f"optimiser-critic-{place}": o for place, o in enumerate(learner.critic_optimisers)}}


def _under(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
