"""``collm baseline TASK``: what teams score that are not trained, under every protocol, and what that takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import tyro
from rich.console import Console

from collm.commands.common import parse, peek, print_json
from collm.config import resolve
from collm.errors import ConfigError
from collm.methods import method
from collm.options import Range, check
from collm.rollout.protocols import PROTOCOLS, find_protocol
from collm.rollout.sampling import Sampling
from collm.tasks.registry import make_task, task_class

if TYPE_CHECKING:
    from collm.commands.baseline_rows import Contestant

TaskOptions = TypeVar("TaskOptions")


@dataclasses.dataclass(frozen=True)
class BaselineCommand(Generic[TaskOptions]):
    """Measure teams that are not trained on held-out problems, sampled and greedy: score, time and tokens per agent."""

    task: TaskOptions
    """The task's own options (those of the run with --run)."""
    sampling: Sampling = Sampling()
    """How agents answer (as in the run with --run). The one writer of `raw` gets the tokens of all roles."""
    task_name: Annotated[str, tyro.conf.Positional] = "str-build"
    """Which task."""
    protocol: tuple[str, ...] = tuple(PROTOCOLS)
    """Which protocols: raw, parallel, pipeline, discussion."""
    model: tuple[str, ...] | None = None
    """One model for all agents, or one per agent; `raw` takes the first. By default those that training starts from."""
    preset: str = "default"
    """The settings of the task and of sampling."""
    run: Path | None = None
    """Measure the trained team of this run beside the others, on its own form of the task."""
    checkpoint: str | None = None
    """With --run: which checkpoint, e.g. update-00000010. Default: the newest."""
    split: Literal["test", "validation", "train"] = "test"
    """Which problems."""
    problems: Annotated[int, Range(1)] = 128
    """At most this many of them."""
    seed: Annotated[int, Range(0)] = 0
    """Seed of the sampled decoding."""
    threads: Annotated[int, Range(1, 1024)] | None = None
    """Processor threads (those of the run with --run); by default what torch finds."""
    device: str = "cpu"
    """Where models live (where the run had them with --run): cpu, or cuda."""
    json: bool = False
    """Print exactly one JSON object on standard output."""


def main(arguments: Sequence[str]) -> int:
    command, trained = _parsed(arguments)
    chosen = [find_protocol(name) for name in dict.fromkeys(command.protocol)]
    task = make_task(command.task_name, command.task)
    problems = list(task.problems(command.split))[: command.problems]
    if not problems:
        raise ConfigError(f"the task has no problems in the split '{command.split}'.")
    # What plays takes seconds to load: nobody who asks for help or mistypes an option waits for it.
    from collm import machine
    from collm.commands.baseline_rows import measured, record, table, untrained
    from collm.evaluation.baselines import measure

    threads = machine.prepare(command.device, command.threads)
    contestants = [*untrained(command, task, chosen, peek(arguments, "--protocol") is not None), *trained]
    first = contestants[0]
    # The first call of a process is slow, and is not what a protocol takes.
    measure(first.protocol, first.task, first.policies, problems[:1], first.sampling, ("eval", command.seed))
    rows = [measured(contestant, problems, command.seed) for contestant in contestants]
    if command.json:
        print_json(
            {
                "task": command.task_name,
                "split": command.split,
                "problems": len(problems),
                "seed": command.seed,
                "threads": threads,
                "device": command.device,
                "rows": [record(*row) for row in rows],
            }
        )
    else:
        title = f"{command.task_name}: {len(problems)} {command.split} problems"
        Console(highlight=False).print(table(rows, title))
    return 0


def _parsed(arguments: Sequence[str]) -> tuple[BaselineCommand[Any], list[Contestant]]:
    """The command line over its defaults, which depend on task, preset and run; and the run's trained team."""
    names = [argument for argument in arguments[:1] if not argument.startswith("-")]
    run = peek(arguments, "--run")
    if run is None:
        if peek(arguments, "--checkpoint") is not None:
            raise ConfigError("--checkpoint needs --run: an untrained team has no checkpoints.")
        name = names[0] if names else "str-build"
        config = resolve(name, preset=peek(arguments, "--preset") or "default")
        default = BaselineCommand(config.task, config.sampling, name)
        return _checked(_parse(default, arguments), default), []
    from collm.commands.baseline_rows import Contestant
    from collm.training.load import load_team

    config, task, policies = load_team(Path(run), peek(arguments, "--checkpoint"))
    if names and names[0] != config.task_name:
        raise ConfigError(f"the run {run} plays '{config.task_name}', not '{names[0]}'.")
    single = method(config.method).single
    roles = make_task(config.task_name, config.task).agents if single else 1
    each = dataclasses.replace(config.sampling, max_new_tokens=-(-config.sampling.max_new_tokens // roles))
    default = BaselineCommand(
        config.task,
        each,
        config.task_name,
        model=config.models,
        preset=config.preset,
        threads=config.run.threads,
        device=config.run.device,
    )
    command = _checked(_parse(default, arguments), default)
    changed = [
        name
        for name in ("task", "sampling", "model", "preset", "threads", "device")
        if getattr(command, name) != getattr(default, name)
    ]
    if changed:
        raise ConfigError(f"--{changed[0]} cannot be used with --run: a team plays as it was trained.")
    protocol = PROTOCOLS["raw" if single else "parallel"]
    return command, [Contestant(protocol, run, task, policies, config.sampling)]


def _parse(default: BaselineCommand[Any], arguments: Sequence[str]) -> BaselineCommand[Any]:
    kind: Any = BaselineCommand[type(default.task)]  # type: ignore[misc]
    return parse(kind, "baseline", arguments, default)


def _checked(command: BaselineCommand[Any], default: BaselineCommand[Any]) -> BaselineCommand[Any]:
    check(command)
    if command.task_name != default.task_name:
        task_class(command.task_name)
        raise ConfigError(f"name the task first: collm baseline {command.task_name} …")
    if not command.protocol:
        raise ConfigError(f"--protocol names none. Known: {', '.join(PROTOCOLS)}.")
    return command
