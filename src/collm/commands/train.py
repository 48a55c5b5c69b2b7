"""``collm train TASK``: train a team, or go on with a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from collm import config as configuration
from collm.commands.common import note, parse, peek, print_json
from collm.config import TrainConfig
from collm.errors import ConfigError
from collm.methods import method as find_method
from collm.rules import refuse_unused
from collm.tasks.registry import task_class
from collm.training.display import make_display
from collm.training.run_folder import RunFolder, default_path

TaskOptions = TypeVar("TaskOptions")


@dataclasses.dataclass(frozen=True)
class TrainCommand(Generic[TaskOptions]):
    """Train a team on a task, or go on with a run (--resume).

    Values are taken from the dataclasses' defaults, then --preset, then --config, then flags.
    """

    settings: Annotated[TrainConfig[TaskOptions], tyro.conf.arg(name="")]
    config: Path | None = None
    """A YAML file with any of the keys below, nested by section."""
    out: Path | None = None
    """The run's folder; by default a new one under runs/."""
    resume: Path | None = None
    """Go on with the run in this folder; its own configuration is used, but for --run.trackers and --run.project."""
    checkpoint: str | None = None
    """With --resume: the checkpoint to go on from, e.g. update-00000010. Default: the newest."""
    json: bool = False
    """Print exactly one JSON object on standard output at the end."""
    quiet: bool = False
    """No progress display."""


def main(arguments: Sequence[str]) -> int:
    command = _parsed(arguments)
    # What trains takes seconds to load: nobody who asks for help or mistypes an option waits for it.
    from collm.training.run import Interrupted, resume, train

    display, settings = make_display(command.quiet), command.settings
    out = command.resume or command.out or default_path(settings.task_name, settings.method, settings.seed)
    try:
        if command.resume is not None:
            run = settings.run
            summary = resume(out, display, command.checkpoint, trackers=run.trackers, project=run.project)
        else:
            summary = train(configuration.validated(settings), out, display)
    except Interrupted as stopped:
        task = command.settings.task_name
        note(f"saved. Go on with: collm train {task} --resume {stopped.run}")
        return 130
    except KeyboardInterrupt:
        note(f"stopped. Go on with: collm train {command.settings.task_name} --resume {out}")
        return 130
    if command.json:
        print_json(summary)
    else:
        from collm.commands.outcome import print_summary

        print_summary(summary)
    return 0


def _parsed(arguments: Sequence[str]) -> TrainCommand[Any]:
    """The command line over its defaults, which depend on the task, preset, method and file that it names."""
    names = [argument for argument in arguments[:1] if not argument.startswith("-")]
    run = peek(arguments, "--resume")
    if run is not None:
        saved = configuration.from_saved(RunFolder.open(Path(run)).read_config())
        _refuse_changes(arguments, names, saved)
        return _parsed_over(TrainCommand(saved, resume=Path(run)), arguments)
    file = peek(arguments, "--config")
    values = configuration.read_yaml(Path(file)) if file is not None else {}
    task = names[0] if names else str(values.get("task_name", "str-build"))
    method = peek(arguments, "--method") or str(values.get("method", "collm-cc"))
    preset = peek(arguments, "--preset") or str(values.get("preset", "default"))
    values |= {"task_name": task, "method": method, "preset": preset}
    flags = [argument.split("=")[0].removeprefix("--").replace("-", "_") for argument in arguments]
    refuse_unused(find_method(method), flags)
    settings = configuration.resolve(task, method, preset, values=values)
    default = TrainCommand(settings, config=None if file is None else Path(file))
    command = _parsed_over(default, arguments)
    if command.settings.task_name != task:
        task_class(command.settings.task_name)
        raise ConfigError(f"name the task first: collm train {command.settings.task_name} …")
    return command


def _parsed_over(default: TrainCommand[Any], arguments: Sequence[str]) -> TrainCommand[Any]:
    kind: Any = TrainCommand[type(default.settings.task)]  # type: ignore[misc]
    command: TrainCommand[Any] = parse(kind, "train", arguments, default)
    return command


_RUN_FLAGS = ("--resume", "--checkpoint", "--json", "--quiet", "--run.trackers", "--run.project")


def _refuse_changes(arguments: Sequence[str], names: list[str], saved: TrainConfig[Any]) -> None:
    """A resumed run keeps its configuration: anything else on the line is an error, not something to ignore."""
    if names and names[0] != saved.task_name:
        raise ConfigError(f"this run trains '{saved.task_name}', not '{names[0]}'.")
    other = [a.split("=")[0] for a in arguments if a.startswith("--") and a.split("=")[0] not in _RUN_FLAGS]
    if other:
        raise ConfigError(
            f"{', '.join(other)} cannot be used with --resume: a run keeps its configuration. "
            f"Allowed: {', '.join(_RUN_FLAGS)}. Begin a new run for other settings."
        )
