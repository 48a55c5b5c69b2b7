"""``collm analyze TASK``: the estimators of a fixed team of language models, measured on a task."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

from collm import machine, options
from collm.analysis.folder import Row, begin, finish, free_path, write_rows
from collm.analysis.game_study import require_values
from collm.analysis.knowable import KnowableSettings
from collm.analysis.team import TeamStudy, check_groups, team_rows, variations
from collm.analysis.team_convergence import TeamConvergenceSettings, arms, convergence_rows
from collm.analysis.team_drift import TeamDrift, TeamDriftSettings
from collm.analysis.team_knowable import team_knowable_rows
from collm.analysis.team_report import draw_team, team_tables
from collm.analysis.trainings import with_method
from collm.commands.common import note, parse
from collm.config import TrainConfig, comparable, resolve, validated, with_changes
from collm.errors import ConfigError
from collm.methods import method as find_method
from collm.models.base import weights_hash
from collm.models.loading import load_policies
from collm.models.policy import Policy
from collm.training.load import load_team
from collm.training.run import Interrupted
from collm.training.setup import build_task

QUICK = TeamStudy(
    problems=3,
    episodes=4,
    lams=(0.0, 1.0),
    groups=(2,),
    partitions=2,
    width=64,
    fit_episodes=4,
    fit_passes=1,
    knowable=KnowableSettings(problems=4, episodes=3, continuations=2, attempts=8),
    drift=TeamDriftSettings(updates=(1,), problems=3, continuations=2, attempts=4),
    convergence=TeamConvergenceSettings(seeds=(0, 1)),
)
QUICK_TRAIN = ("env_steps=8", "rollout.problems=4", "evaluation.test_problems=3", "evaluation.every=0")
VARIABLE = ("task.", "sampling.", "critic.", "credit.gamma")
FITTED = ("critic.kind", "critic.encoding", "critic.backbone", "critic.target", "critic.warmup_updates")
"""What the fitted critics do not have: they are V networks of their own that read histories in order of time."""


@dataclasses.dataclass(frozen=True)
class TaskCommand:
    """Bias, variance and cost of every method's gradient for a fixed team, the raw model or that of a run; with --parts,
    what of the return its critics could know, how far their targets move while it learns, and which share of seeds fails."""

    study: Annotated[TeamStudy, tyro.conf.arg(name="")]
    run: Path | None = None
    """The team of this run (not of a single-model method), with its settings; by default the raw model."""
    checkpoint: str | None = None
    """With --run: which checkpoint, e.g. update-00000010. Default: the newest."""
    model: str = "tiny"
    """The model of a raw team: tiny or small (embedded), a local folder or a hub id."""
    preset: str = "default"
    """The settings of a raw team."""
    set: tuple[str, ...] = ()
    """Settings as KEY=VALUE, e.g. task.min_length=2 sampling.max_new_tokens=32."""
    train: tuple[str, ...] = ()
    """Further settings of what --parts drift and convergence train, e.g. env_steps=2880 rollout.problems=48."""
    vary: tuple[str, ...] = ()
    """Settings with several values, e.g. task.turns=1,2,4 task.reward=dense,terminal: all combinations are measured."""
    quick: bool = False
    """Begin with small sizes: a look in seconds, not a result."""
    out: Path | None = None
    """A new folder for tables, figures and raw rows; by default one under runs/."""
    json: bool = False
    """Print exactly one JSON object on standard output."""


def analyze_task(name: str, arguments: Sequence[str]) -> int:
    """The command for one task."""
    default = TaskCommand(QUICK, train=QUICK_TRAIN) if "--quick" in arguments else TaskCommand(TeamStudy())
    command = parse(TaskCommand, f"analyze {name}", arguments, default)
    options.check(command)
    require_values(command.study)
    require_values(command.study.drift, "drift.")
    check_groups(command.study)
    started = time.perf_counter()
    config, policies = _team(name, command)
    training = _training(command, config)
    given = {key: [_read(value) for value in text.split(",")] for key, text in (_pair(one) for one in command.vary)}
    changed = [(_named(name, change), _changed(config, change)) for change in variations(given)]
    settings = {"analyze": name, "vary": given, "train": training, "study": options.to_mapping(command.study)}
    team = {"run": None if command.run is None else str(command.run), "checkpoint": command.checkpoint}
    out = begin(command.out or free_path(name), {**settings, **team, "config": comparable(config)})
    note(f"analyze: writing {out}")
    try:
        found = write_rows(out, _rows(command.study, changed, policies, command.run is not None, training, out))
    except (Interrupted, KeyboardInterrupt):
        note(f"stopped. The same command with --out {out} goes on, and keeps the trainings that are there.")
        return 130
    figures = draw_team(found, out)
    finish(out, team_tables(found), figures, len(found), time.perf_counter() - started, command.json)
    return 0


def _rows(
    study: TeamStudy,
    changed: Sequence[tuple[str, TrainConfig[Any]]],
    policies: list[Policy],
    trained: bool,
    training: dict[str, Any],
    out: Path,
) -> Iterator[Row]:
    for label, config in changed:
        note(f"analyze: {label}")
        task = build_task(config)
        team = policies
        if len(policies) != task.agents and trained:
            raise ConfigError(
                f"{label}: the run has a team of {len(policies)} and the task wants {task.agents}. Leave task.agents out, "
                "or --run, to measure raw teams."
            )
        if len(policies) != task.agents:
            team = load_policies(config.model, task.agents, config.run.device)
        label_and_model = {"variation": label, "model": weights_hash(team[0].model)}
        if "estimators" in study.parts:
            yield from team_rows(study, config, task, team, label_and_model)
        if "knowable" in study.parts:
            for row in team_knowable_rows(study, config, task, team):
                yield {**row, **label_and_model}
        if "drift" in study.parts:
            moving = with_method(config, study.drift.method, {"evaluation.every": 0, **training, "seed": study.seed})
            for row in TeamDrift(study.drift, moving, task, team, study.seed).rows():
                yield {**row, **label_and_model}
        if "convergence" in study.parts:
            for row in convergence_rows(study.convergence, config, training, out / "runs", label):
                yield {**row, **label_and_model}


def _training(command: TaskCommand, config: TrainConfig[Any]) -> dict[str, Any]:
    """The settings of --train; everything that will be trained is tried before anything starts."""
    parts = command.study.parts
    if not {"drift", "convergence"} & set(parts):
        if command.train not in ((), QUICK_TRAIN):
            raise ConfigError("--train sets what --parts drift or convergence train, and none is asked for.")
        return {}
    if "convergence" in parts and command.run is not None:
        raise ConfigError("--parts convergence trains from the raw model. Leave --run out.")
    change = {key: _read(value) for key, value in (_training_pair(one) for one in command.train)}
    if "drift" in parts:
        with_method(config, command.study.drift.method, change)
    if "convergence" in parts:
        require_values(dataclasses.replace(command.study.convergence, lams=(0.0,), groups=(2,)), "convergence.")
        list(arms(command.study.convergence, config, change))
    return change


def _training_pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or key.partition(".")[0] in ("task", "task_name", "sampling", "method", "preset", "model", "seed"):
        raise ConfigError(
            f"--train {text}: expected KEY=VALUE with a setting of the training, e.g. env_steps=2880. Task and sampling "
            "belong into --set, the method and seeds have flags of their own."
        )
    return key, value


def _team(name: str, command: TaskCommand) -> tuple[TrainConfig[Any], list[Policy]]:
    """Settings and policies of the team that is measured."""
    values = dict(_pair(one) for one in command.set)
    if command.run is None and command.checkpoint is not None:
        raise ConfigError("--checkpoint needs --run: a raw team has no checkpoints.")
    if command.run is not None:
        if (command.model, command.preset) != (TaskCommand.model, TaskCommand.preset):
            raise ConfigError("--model and --preset are for raw teams; the team of --run has its own. Use --set.")
        config, task, policies = load_team(command.run, command.checkpoint)
        if config.task_name != name:
            raise ConfigError(f"this run trains '{config.task_name}', not '{name}'.")
        if task.agents != len(policies) or find_method(config.method).single:
            raise ConfigError(f"the run's method is '{config.method}': one model in all roles is not a team.")
        return _changed(config, {key: _read(value) for key, value in values.items()}), policies
    config = resolve(name, "collm-cc", command.preset, {"model": command.model})
    config = _changed(config, {key: _read(value) for key, value in values.items()})
    machine.prepare(config.run.device, config.run.threads)
    return config, load_policies(config.model, build_task(config).agents, config.run.device)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.startswith(VARIABLE):
        raise ConfigError(f"'{text}': expected KEY=VALUE with a key that begins with {', '.join(VARIABLE)}.")
    if key.startswith(FITTED):
        raise ConfigError(
            f"'{text}': the critics of this command are V networks of their own that read in order of time, and "
            f"with --told one that is told the state. Leave {key} out; training has it."
        )
    return key, value


def _read(text: str) -> Any:
    """A value as YAML reads it."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"'{text}' cannot be read as a value: {error}") from error


def _changed(config: TrainConfig[Any], change: dict[str, Any]) -> TrainConfig[Any]:
    """The configuration with dotted keys replaced; unknown keys name the nearest one. The task is built once, to check."""
    config = with_changes(config, change)
    build_task(validated(config))
    return config


def _named(task: str, change: dict[str, Any]) -> str:
    return ", ".join(f"{key.partition('.')[2]} {value}" for key, value in change.items()) or task
