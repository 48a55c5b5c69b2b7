"""The configuration of a training: one tree of dataclasses behind the Python API, YAML files and flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro
import yaml

from collm import options
from collm.errors import ConfigError
from collm.learning.settings import CreditSettings, CriticSettings, PolicySettings
from collm.methods import method
from collm.models.settings import WeightSettings
from collm.options import Range
from collm.presets import preset_values
from collm.rollout.branching import Branching
from collm.rollout.sampling import Sampling
from collm.rules import check_rules
from collm.tasks.protocol import Task
from collm.tasks.registry import default_options, require_registered

TaskOptions = TypeVar("TaskOptions")
_SHOWN_IN = ("trackers", "project")
"""Settings of ``run`` that say where it is shown."""


@dataclasses.dataclass(frozen=True)
class RolloutSettings:
    """How much is played between two updates."""

    problems: Annotated[int, Range(1)] = 24
    """Problems per update."""
    samples: Annotated[int, Range(1)] = 1
    """K, the size of a group: episodes per problem, or responses per agent at each node of a tree."""
    shape: Literal["linear", "tree-aligned", "tree-cross"] = "linear"
    """Groups of K episodes of one problem; or trees in which every joint history is answered K times by each agent, with
    responses joined by their index (K joint actions) or all with all (K to the power of the agents)."""
    max_joint_actions: Annotated[int, Range(2)] = 64
    """Greatest number of joint actions per node of a tree."""
    max_history: Annotated[int, Range(1)] | None = None
    """Greatest number of tokens of one agent's history; an episode that may not fit is cut. Default: the model's context."""

    engine: Annotated[Literal["hf", "vllm"], tyro.conf.arg(aliases=("--engine",))] = "hf"
    """What plays: the library's own decoding (hf), or vLLM in the same process (vllm; pip install 'collm[vllm]')."""
    kv_cache_gib: Annotated[float, Range(0, open_low=True)] = 1.0
    """GiB of keys and values that vLLM keeps, per base model."""

    def branching(self) -> Branching | None:
        """How trees grow; None for linear episodes."""
        if self.shape == "linear":
            return None
        return Branching(self.samples, "cross" if self.shape == "tree-cross" else "aligned")

    @property
    def episodes(self) -> int:
        """Episodes that are begun per problem: a tree is begun once."""
        return self.samples if self.shape == "linear" else 1


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """What is measured on held-out problems."""

    every: Annotated[int, Range(0)] = 10
    """Updates between validations during training; 0 for none."""
    validation_problems: Annotated[int, Range(1)] = 32
    """Validation problems used during training."""
    test_problems: Annotated[int, Range(1)] = 96
    """At most this many test problems, before and after training."""


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What is kept and how the machine is used."""

    checkpoint_every: Annotated[int, Range(1)] = 10
    """Updates between checkpoints; the last update always gets one."""
    keep: Annotated[int, Range(1)] = 2
    """Checkpoints kept."""
    token_budget: Annotated[int, Range(64)] | None = None
    """Padded tokens of one learning pass: sets the memory, not the result. By default those whose states take about half
    a GiB on a processor (at most 4096), or 4 GiB on a GPU."""
    threads: Annotated[int, Range(1, 1024)] | None = None
    """Processor threads; by default what torch finds. Part of the run, because results depend on it."""
    device: str = "cpu"
    """Where models live: cpu, or cuda."""
    overlap: bool | None = None
    """Update networks that share no weights side by side, dividing the threads; by default where all are small models on
    a processor."""
    max_bad_updates: Annotated[int, Range(1)] = 5
    """Updates in a row with a non-finite loss after which the run stops."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Where the records of metrics.jsonl are shown besides (pip install 'collm[wandb]', and so on); may change with
    --resume."""
    project: str = "collm"
    """The project of the run in wandb and trackio."""


@dataclasses.dataclass(frozen=True)
class TrainConfig(Generic[TaskOptions]):
    """One training."""

    task: TaskOptions
    """The task's own options."""
    task_name: Annotated[str, tyro.conf.Positional] = "str-build"
    """Which task; `collm tasks` lists them."""
    method: str = "collm-cc"
    """Which method."""
    preset: str = "default"
    """Which set of defaults this configuration started from."""
    model: str | tuple[str, ...] = "tiny"
    """The model every agent and critic starts from: tiny or small (embedded), a local folder or a hub id; or one for each
    agent."""
    seed: Annotated[int, Range(0)] = 0
    """The one seed of the run."""
    env_steps: Annotated[int, Range(1)] = 16_384
    """Budget of joint actions; whole updates are played, so the last one may go beyond it."""
    weights: WeightSettings = WeightSettings()
    rollout: RolloutSettings = RolloutSettings()
    sampling: Sampling = Sampling(temperature=0.7)
    credit: CreditSettings = CreditSettings()
    policy: PolicySettings = PolicySettings()
    critic: CriticSettings = CriticSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    run: RunSettings = RunSettings()

    @property
    def models(self) -> tuple[str, ...]:
        """One model for all agents, or one for each."""
        return (self.model,) if isinstance(self.model, str) else self.model


def resolve(
    task: str | Task,
    method_name: str = "collm-cc",
    preset: str = "default",
    values: Mapping[str, Any] | None = None,
) -> TrainConfig[Any]:
    """Defaults, then the preset, then ``values`` (nested, as in a YAML file); checked.

    ``task`` is a task's name; or a task, which ``train`` then needs too. Raises ConfigError for unknown names and keys (with
    the nearest valid one) and for values out of range.
    """
    name, own = (task.name, task.options) if isinstance(task, Task) else (task, default_options(task))
    base = TrainConfig(task=own, task_name=name, method=method(method_name).name)
    config = _merge(dataclasses.replace(base, preset=preset), preset_values(preset, name, method_name))
    return validated(_merge(config, values) if values else config)


def with_changes(config: TrainConfig[Any], change: Mapping[str, Any]) -> TrainConfig[Any]:
    """The configuration with dotted keys replaced; unknown keys name the nearest one. Values are not checked together."""
    for key, value in change.items():
        nested: Any = value
        for name in reversed(key.split(".")):
            nested = {name: nested}
        config = _merge(config, nested)
    return config


def comparable(config: TrainConfig[Any]) -> dict[str, Any]:
    """The settings in which runs can differ, nested: all but where a run is shown."""
    return without_trackers(options.to_mapping(config))


def without_trackers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a run folder holds them, without those that say where the run is shown."""
    run = {name: value for name, value in values.get("run", {}).items() if name not in _SHOWN_IN}
    return {**values, "run": run}


def _merge(config: TrainConfig[Any], values: Mapping[str, Any]) -> TrainConfig[Any]:
    return options.from_mapping(TrainConfig, values, default=config)


def validated(config: TrainConfig[Any]) -> TrainConfig[Any]:
    """The configuration if it is allowed; raises ConfigError otherwise."""
    options.check(config)
    check_rules(config, TrainConfig(task=config.task))
    return config


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys of a YAML file. Raises ConfigError if it cannot be read."""
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}.") from error
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(values).__name__}.")
    return values


def from_saved(values: Mapping[str, Any], task: Task | None = None) -> TrainConfig[Any]:
    """The configuration that a run folder holds; a run of a task that is an object needs the object."""
    name = str(values.get("task_name"))
    if task is None:
        require_registered(name, "collm.resume(run, task=task), collm.load_team(run, task=task)")
    elif task.name != name:
        raise ConfigError(f"the run's task is '{name}', and the task '{task.name}' was passed.")
    return validated(_merge(TrainConfig(task=default_options(name) if task is None else task.options), values))
