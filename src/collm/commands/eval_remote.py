"""``collm eval TASK --agents URL URL …``: measure agents that live elsewhere on held-out problems."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from collm.commands.common import print_json
from collm.commands.remote import RemoteCommand, Session, opened, seconds, silences, status
from collm.commands.scores import table
from collm.errors import ConfigError
from collm.evaluation.baselines import measured_plays
from collm.evaluation.evaluate import Evaluation, one_each
from collm.options import Range
from collm.rollout.collector import at_once
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Play
from collm.serving.voices import Asked
from collm.tasks.protocol import Problem

TaskOptions = TypeVar("TaskOptions")


@dataclasses.dataclass(frozen=True)
class RemoteEval(RemoteCommand[TaskOptions], Generic[TaskOptions]):
    """Measure a team on held-out problems, each agent behind its own URL: sampled, and greedy."""

    split: Literal["test", "validation", "train"] = "test"
    """Which problems."""
    problems: Annotated[int, Range(1)] = 128
    """At most this many of them."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """One way of decoding."""

    evaluation: Evaluation
    plays: list[Play]
    asked: list[Asked]

    def summary(self) -> dict[str, Any]:
        missing = [
            {"problem": play.episode.job.problem.id, **dataclasses.asdict(one)}
            for play in self.plays
            for one in play.missing
        ]
        return {**self.evaluation.in_full(), "missing": missing, "seconds": seconds(self.asked)}


def main(arguments: Sequence[str]) -> int:
    with opened(RemoteEval, "eval", arguments) as session:
        command = session.command
        problems = list(session.task.problems(command.split))[: command.problems]
        if not problems:
            raise ConfigError(f"the task has no problems in the split '{command.split}'.")
        ways = (command.sampling, command.sampling.greedy())
        with _counted() as heard:
            found = [_measure(session, problems, sampling, heard) for sampling in ways]
    plays = [play for one in found for play in one.plays]
    asked = [request for one in found for request in one.asked]
    if command.json:
        shown = {one.evaluation.decoding: one.summary() for one in found}
        print_json({"agents": list(command.agents), "split": command.split, **shown})
        return status(plays, asked)
    title = f"{len(problems)} {command.split} problems"
    Console(highlight=False).print(table([one.evaluation for one in found], title))
    for line in silences(plays):
        print(line)
    return status(plays, asked)


@contextlib.contextmanager
def _counted() -> Iterator[Callable[[], None]]:
    """Show people that answers come, and how many have; how many there will be nobody knows."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed} requests"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)
        yield lambda: progress.advance(bar)


def _measure(session: Session, problems: Sequence[Problem], sampling: Sampling, heard: Callable[[], None]) -> Measured:
    started, key = time.perf_counter(), ("eval", session.command.seed)
    plays: list[Play] = []
    asked: list[Asked] = []
    for part in at_once(one_each(problems)):
        found, requests = session.seats.play(session.protocol, session.task, part, sampling, key, heard)
        plays += found
        asked += requests
    return Measured(measured_plays(session.task, plays, time.perf_counter() - started, sampling), plays, asked)
