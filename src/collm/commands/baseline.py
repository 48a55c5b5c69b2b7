"""``collm baseline TASK``: what teams score that are not trained, under every protocol, and what that takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro
from rich.console import Console
from rich.table import Table

from collm import machine
from collm.commands.common import note, parse, peek, print_json
from collm.config import resolve
from collm.errors import ConfigError
from collm.evaluation.baselines import Baseline, measure
from collm.methods import METHODS, method
from collm.models.base import weights_hash
from collm.models.loading import load_raw, one_for_each
from collm.models.policy import Policy, notes
from collm.options import Range, check
from collm.rollout.protocols import PROTOCOLS, Protocol, find_protocol
from collm.rollout.sampling import Sampling
from collm.tasks.protocol import Problem, Task
from collm.tasks.registry import make_task, single_form, task_class
from collm.training.load import load_team

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


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One row of the table."""

    protocol: Protocol
    team: str
    """``untrained``, or the run."""
    task: Task
    policies: list[Policy]
    sampling: Sampling


def main(arguments: Sequence[str]) -> int:
    command, trained = _parsed(arguments)
    chosen = [find_protocol(name) for name in dict.fromkeys(command.protocol)]
    task = make_task(command.task_name, command.task)
    problems = list(task.problems(command.split))[: command.problems]
    if not problems:
        raise ConfigError(f"the task has no problems in the split '{command.split}'.")
    threads = machine.prepare(command.device, command.threads)
    contestants = [*_untrained(command, task, chosen, peek(arguments, "--protocol") is not None), *trained]
    first = contestants[0]
    # The first call of a process is slow, and is not what a protocol takes.
    measure(first.protocol, first.task, first.policies, problems[:1], first.sampling, ("eval", command.seed))
    rows = [_measured(contestant, problems, command.seed) for contestant in contestants]
    if command.json:
        print_json(
            {
                "task": command.task_name,
                "split": command.split,
                "problems": len(problems),
                "seed": command.seed,
                "threads": threads,
                "device": command.device,
                "rows": [_record(*row) for row in rows],
            }
        )
    else:
        title = f"{command.task_name}: {len(problems)} {command.split} problems"
        Console(highlight=False).print(_table(rows, title))
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


def _untrained(
    command: BaselineCommand[Any], task: Task, protocols: Sequence[Protocol], asked: bool
) -> Iterator[Contestant]:
    """Teams of raw models. Protocols that were not asked for by name are left out where the task has no form for them."""
    names, writer = _models(command, task.agents)
    known = {name: load_raw(name, command.device) for name in {*names, writer}}
    team = [known[name] for name in names]
    for line in notes(team):
        note(line)
    for protocol in protocols:
        if not protocol.single:
            yield Contestant(protocol, "untrained", task, team, command.sampling)
            continue
        try:
            form = single_form(task, protocol.name, "a protocol for teams, such as parallel")
        except ConfigError as error:
            if asked:
                raise
            note(f"baseline: {protocol.name} left out: {error}")
            continue
        tokens = command.sampling.max_new_tokens * task.agents
        sampling = dataclasses.replace(command.sampling, max_new_tokens=tokens)
        yield Contestant(protocol, "untrained", form, [known[writer]], sampling)


def _models(command: BaselineCommand[Any], agents: int) -> tuple[list[str], str]:
    """The team's models, and that of `raw`: as given, or what methods for teams and for one model start from."""
    if command.model is not None:
        return one_for_each(command.model, agents), command.model[0]
    single = next(name for name, chosen in METHODS.items() if chosen.single)
    writer = resolve(command.task_name, single, command.preset).models[0]
    return one_for_each(resolve(command.task_name, preset=command.preset).models, agents), writer


Row = tuple[Contestant, list[Baseline]]


def _measured(contestant: Contestant, problems: Sequence[Problem], seed: int) -> Row:
    """A contestant with sampled and with greedy decoding; draws are keyed as in ``collm eval``."""
    note(f"baseline: {contestant.protocol.name}, {contestant.team}")
    found = [
        measure(contestant.protocol, contestant.task, contestant.policies, problems, sampling, ("eval", seed))
        for sampling in (contestant.sampling, contestant.sampling.greedy())
    ]
    silent = sum(baseline.silent for baseline in found)
    if silent:
        note(f"baseline: {silent} answers were left out, because an agent's history was full.")
    return contestant, found


def _record(contestant: Contestant, found: Sequence[Baseline]) -> dict[str, Any]:
    return {
        "protocol": contestant.protocol.name,
        "team": contestant.team,
        "agents": contestant.task.agents,
        "model_hashes": [weights_hash(policy.model) for policy in contestant.policies],
        "max_new_tokens": contestant.sampling.max_new_tokens,
        **{baseline.evaluation.decoding: baseline.summary() for baseline in found},
    }


def _table(rows: Sequence[Row], title: str) -> Table:
    table = Table(title=title, title_justify="left", caption="read and written: tokens per problem, agent by agent")
    columns = ("score", "95 %", "greedy", "paper score", "final", "contribution", "s/problem", "read", "written")
    for name in ("protocol", "team"):
        table.add_column(name)
    for name in columns:
        table.add_column(name, justify="right")
    for contestant, (sampled, greedy) in rows:
        summary = sampled.summary()
        low, high = summary["score_ci95"]
        table.add_row(
            contestant.protocol.name,
            contestant.team,
            f"{summary['score']:.1f}",
            f"{low:.1f} to {high:.1f}",
            f"{greedy.evaluation.mean('score'):.1f}",
            f"{summary['paper_score']:.1f}",
            f"{summary['final']:.3f}",
            ", ".join(f"{share:.2f}" for share in summary["contribution"]),
            f"{summary['seconds_per_problem']:.3f}",
            ", ".join(f"{tokens:.0f}" for tokens in summary["tokens_read"]),
            ", ".join(f"{tokens:.0f}" for tokens in summary["tokens_written"]),
        )
    return table
