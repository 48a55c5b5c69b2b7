"""``collm play TASK --agents URL URL …``: watch one episode of agents that live elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from collm.commands.common import print_json
from collm.commands.remote import RemoteCommand, opened, seconds, silences, status
from collm.commands.watch import check_paths, record, show, write
from collm.rollout.path import Job

TaskOptions = TypeVar("TaskOptions")


@dataclasses.dataclass(frozen=True)
class RemotePlay(RemoteCommand[TaskOptions], Generic[TaskOptions]):
    """Watch a team play one problem, each agent behind its own URL."""

    problem: str | None = None
    """Which problem, e.g. a word. Default: the first of the test split."""
    greedy: bool = False
    """Always take the most likely token."""
    png: Path | None = None
    """Also write the outcome as a picture."""
    export: Path | None = None
    """Also write the outcome for the game: NAME.schem (needs collm[minecraft]) or NAME.mcfunction."""


def main(arguments: Sequence[str]) -> int:
    with opened(RemotePlay, "play", arguments) as session:
        command, task = session.command, session.task
        check_paths(command.png, command.export)
        problem = task.problem(command.problem) if command.problem is not None else task.problems("test")[0]
        sampling = command.sampling.greedy() if command.greedy else command.sampling
        plays, asked = session.seats.play(session.protocol, task, [Job(problem, 0)], sampling, ("play", command.seed))
    played, took = plays[0], seconds(asked)
    write(task, played.episode, command.png, command.export)
    if command.json:
        missing = [dataclasses.asdict(one) for one in played.missing]
        print_json({**record(task, played.episode), "missing": missing, "seconds": took})
        return status(plays, asked)
    show(task, played.episode)
    print(_timing(took["turns"]))
    for line in silences(plays):
        print(line)
    return status(plays, asked)


def _timing(turns: Sequence[dict[str, Any]]) -> str:
    """How long the agents took, and how much of it at the same time."""
    parts = [f"{turn['wall']:.2f} s ({', '.join(f'{own:.2f}' for own in turn['agents'])})" for turn in turns]
    return f"turns took {'; '.join(parts)}: in brackets each agent's own time"
