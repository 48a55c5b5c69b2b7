"""What is compared: settings (a task in one form, with a budget), arms (a method and its settings) and seeds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml

from collm import options
from collm.config import TrainConfig, read_yaml, resolve
from collm.errors import ConfigError, unknown_name
from collm.methods import METHODS
from collm.options import Range
from collm.presets import merged
from collm.rollout.protocols import PROTOCOLS

FILE = "study.yaml"
_PLANNED = {
    "seed": "A plan has seeds and first_seed.",
    "env_steps": "It belongs to the setting, because all arms have the same budget.",
    "method": "It belongs to the arm.",
    "preset": "It belongs to the arm or to the plan.",
    "task_name": "It is the setting's task.",
}
"""Keys of a configuration that a plan decides, and where."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A task in one form, with its budget: everything that all arms of a comparison have in common."""

    task: str
    env_steps: Annotated[int, Range(1)] | None = None
    """Budget of a trained cell; by default that of the preset."""
    values: Any = dataclasses.field(default_factory=dict)
    """Settings over those of the preset, nested as in a configuration file."""
    seeds: Any = dataclasses.field(default_factory=dict)
    """Arm → its number of seeds, where that differs."""
    arms: tuple[str, ...] | None = None
    """The arms that are run here; by default all."""
    arm_values: Any = dataclasses.field(default_factory=dict)
    """Arm → settings of its own in this setting, over all others."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """A method, or a protocol of untrained teams, with settings of its own."""

    method: str
    """A row of the table of methods, or raw, parallel, pipeline, discussion."""
    preset: str | None = None
    """By default that of the study."""
    values: Any = dataclasses.field(default_factory=dict)
    """Settings over those of the setting."""

    @property
    def trained(self) -> bool:
        return self.method in METHODS


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a comparison."""

    setting: str
    arm: str
    seed: int

    @property
    def path(self) -> Path:
        """Its folder within the comparison's."""
        return Path("cells") / self.setting / self.arm / f"seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.setting}/{self.arm}/{self.seed}"


@dataclasses.dataclass(frozen=True)
class Study:
    """A comparison as it is planned, in ``study.yaml``."""

    settings: Mapping[str, Setting]
    arms: Mapping[str, Arm]
    seeds: int = 5
    """Seeds per cell of the table: ``first_seed`` and those that follow it."""
    first_seed: int = 0
    preset: str = "default"
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings over those of the preset, under those of settings and arms."""
    threads: int = 1
    """Processor threads of each run. Results depend on them, so they belong to the plan and not to the machine."""

    def cells(self) -> Iterator[Cell]:
        """All cells, seed by seed, so that a study that is stopped has the same seeds of all arms."""
        most = max(self._seeds(name, arm) for name in self.settings for arm in self.arms_of(name))
        for number in range(most):
            for name in self.settings:
                for arm in self.arms_of(name):
                    if number < self._seeds(name, arm):
                        yield Cell(name, arm, self.first_seed + number)

    def arms_of(self, setting: str) -> tuple[str, ...]:
        """The arms that are run in a setting."""
        return tuple(self.arms) if self.settings[setting].arms is None else tuple(self.settings[setting].arms or ())

    def _seeds(self, setting: str, arm: str) -> int:
        return int(self.settings[setting].seeds.get(arm, self.seeds))

    def config(self, cell: Cell) -> TrainConfig[Any]:
        """The configuration of a cell; of an untrained team that of the method whose form of the task it plays.

        Raises ConfigError if the plan has no such cell, or if its settings cannot be.
        """
        if cell.setting not in self.settings or cell.arm not in self.arms:
            raise ConfigError(f"the plan has no cell {cell}.")
        setting, arm = self.settings[cell.setting], self.arms[cell.arm]
        method = arm.method
        if not arm.trained:
            method = next(name for name, row in METHODS.items() if row.single == PROTOCOLS[arm.method].single)
        own_here = setting.arm_values.get(cell.arm, {})
        common = without(merged(self.values, setting.values), METHODS[method].without)
        values = merged(common, arm.values, own_here)
        budget = self.budget(cell.setting)
        own = {"seed": cell.seed, "env_steps": budget, "run": {"threads": self.threads}}
        try:
            return resolve(setting.task, method, arm.preset or self.preset, merged(values, own))
        except ConfigError as error:
            raise ConfigError(f"{cell.setting}, {cell.arm}: {error}") from error

    def budget(self, setting: str) -> int:
        """Env steps of every trained cell of a setting."""
        own = self.settings[setting]
        return own.env_steps or resolve(own.task, preset=self.preset).env_steps

    def check(self) -> None:
        """Raise ConfigError for the first thing that cannot be run; nothing has run by then."""
        for what, names in (("setting", self.settings), ("arm", self.arms)):
            if not names:
                raise ConfigError(f"the comparison has no {what}.")
            for name in names:
                if not _NAME.fullmatch(name):
                    raise ConfigError(f"the {what} '{name}' names a folder: letters, digits and _ . + = - only.")
        if self.seeds < 1:
            raise ConfigError(f"seeds = {self.seeds}: must be at least 1.")
        for name, setting in self.settings.items():
            if not self.arms_of(name):
                raise ConfigError(f"settings.{name}.arms names none. Leave it out for all arms.")
            for arm in (*setting.seeds, *setting.arm_values, *(setting.arms or ())):
                if arm not in self.arms:
                    raise unknown_name(f"arm of the setting {name}", arm, self.arms)
        for cell in self.cells():
            if cell.seed == self.first_seed:
                self.config(cell)


def without(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Nested settings without these, which mean nothing to a method: a critic's to one that has none."""
    kept: dict[str, Any] = {}
    for key, value in values.items():
        inner = [name.removeprefix(f"{key}.") for name in names if name.startswith(f"{key}.")]
        if key not in names:
            kept[key] = without(value, inner) if inner and isinstance(value, Mapping) else value
    return kept


def require_method(name: str) -> str:
    """The name if it is a method's or a protocol's. Raises ConfigError, naming the nearest one, if it is neither."""
    if name not in METHODS and name not in PROTOCOLS:
        raise unknown_name("method", name, [*METHODS, *PROTOCOLS])
    return name


def simple(
    tasks: Sequence[str],
    methods: Sequence[str],
    seeds: int,
    env_steps: int | None,
    preset: str,
    values: Mapping[str, Any],
) -> Study:
    """A comparison of methods as they are on tasks as they are; ``values`` are settings of all."""
    settings = {task: Setting(task, env_steps, values) for task in dict.fromkeys(tasks)}
    return Study(settings, {name: Arm(require_method(name)) for name in dict.fromkeys(methods)}, seeds, preset=preset)


def read_study(path: Path) -> Study:
    """A study from its file. Raises ConfigError, naming the nearest valid key, if it cannot be one."""
    values = read_yaml(path)
    if not values:
        raise ConfigError(f"{path} is empty. A plan has arms and settings: docs/compare.md.")
    known = {field.name for field in dataclasses.fields(Study)}
    for key in values:
        if key not in known:
            raise unknown_name("key", key, sorted(known))
    for key in ("settings", "arms"):
        if not isinstance(values.get(key), Mapping):
            raise ConfigError(f"{path}: '{key}' has to name at least one, with its values below it.")
    settings = {
        str(name): options.from_mapping(
            Setting, {"task": str(name), **_mapping(own, f"settings.{name}")}, f"settings.{name}."
        )
        for name, own in values["settings"].items()
    }
    arms = {
        str(name): options.from_mapping(Arm, {"method": str(name), **_mapping(own, f"arms.{name}")}, f"arms.{name}.")
        for name, own in values["arms"].items()
    }
    for name, setting in settings.items():
        for field in ("values", "seeds", "arm_values"):
            _mapping(getattr(setting, field), f"settings.{name}.{field}")
        for arm, own in setting.arm_values.items():
            require_values(own, f"settings.{name}.arm_values.{arm}")
        for arm, seeds in setting.seeds.items():
            if not isinstance(seeds, int) or isinstance(seeds, bool) or seeds < 1:
                raise ConfigError(f"settings.{name}.seeds.{arm} = {seeds!r}: expected a number of seeds, at least 1.")
        require_values(setting.values, f"settings.{name}.values")
    for name, arm in arms.items():
        require_values(arm.values, f"arms.{name}.values")
        require_method(arm.method)
    require_values(values.get("values"), "values")
    rest = {key: value for key, value in values.items() if key not in ("settings", "arms") and value is not None}
    study = Study(settings, arms, **rest)
    for key, value in rest.items():
        if key != "values" and (not isinstance(value, type(getattr(Study, key))) or isinstance(value, bool)):
            raise ConfigError(f"{key} = {value!r}: expected {type(getattr(Study, key)).__name__}.")
    return study


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    """What stands below a name: keys and values, or nothing."""
    if value is not None and not isinstance(value, Mapping):
        raise ConfigError(f"{where} = {value!r}: expected keys with values below it.")
    return value or {}


def require_values(values: Any, where: str) -> None:
    """Raise ConfigError unless these are settings of a run that a plan leaves open."""
    for key in _mapping(values, where):
        if key in _PLANNED:
            raise ConfigError(f"{where}: {key} is not set there. {_PLANNED[key]}")


def to_yaml(study: Study) -> str:
    """The file that :func:`read_study` reads, without what is a default."""

    def short(item: Any) -> dict[str, Any]:
        fields = options.to_mapping(item)
        return {name: value for name, value in fields.items() if value not in (None, {}, [])}

    values = {
        "preset": study.preset,
        "seeds": study.seeds,
        "first_seed": study.first_seed,
        "threads": study.threads,
        **({"values": dict(study.values)} if study.values else {}),
        "arms": {name: short(arm) for name, arm in study.arms.items()},
        "settings": {name: short(setting) for name, setting in study.settings.items()},
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
