"""What ``play --agents`` and ``eval --agents`` share: the task runs here, and each agent lives behind its own URL."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from collm.commands.common import AGENTS, has, key_of, parse, say_notes
from collm.errors import ConfigError
from collm.options import Range, check, from_mapping
from collm.rollout.protocols import Protocol, find_protocol
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Play
from collm.serving.exported import AgentCard
from collm.serving.remote import RemoteSettings
from collm.serving.seats import Seats, seated
from collm.serving.voices import Asked
from collm.tasks.protocol import Task
from collm.tasks.registry import default_options, make_task, single_form

TaskOptions = TypeVar("TaskOptions")


@dataclasses.dataclass(frozen=True)
class RemoteCommand(Generic[TaskOptions]):
    """A team whose agents live elsewhere."""

    task: TaskOptions
    """The task's own options; by default those that the agents were trained with."""
    agents: tuple[str, ...]
    """One URL per agent, in the task's order, each of an OpenAI-compatible endpoint; http://HOST:PORT#MODEL where a server
    has several models."""
    task_name: Annotated[str, tyro.conf.Positional] = "str-build"
    """Which task."""
    protocol: str = "parallel"
    """Who answers when within a turn: parallel as in training; pipeline and discussion let the agents read each other; raw
    is one agent in all roles."""
    sampling: Sampling = Sampling()
    """How responses are drawn; by default as in training. Whether a server keeps to it is the server's."""
    remote: RemoteSettings = RemoteSettings()
    seed: Annotated[int, Range(0)] = 0
    """Seed of the sampled decoding, for servers that take one."""
    json: bool = False
    """Print exactly one JSON object on standard output."""


@dataclasses.dataclass(frozen=True)
class Session:
    """A command with its task and agents, checked and ready to play."""

    command: Any
    task: Task
    protocol: Protocol
    seats: Seats


@contextlib.contextmanager
def opened(form: type[RemoteCommand[Any]], name: str, arguments: Sequence[str]) -> Iterator[Session]:
    """Find the agents that the arguments name, and read the rest of them with what the agents say as defaults.

    Raises ConfigError or AgentError for agents that are not there, or cannot sit together or at this task.
    """
    names = [argument for argument in arguments[:1] if not argument.startswith("-")]
    if not names or Path(names[0]).is_dir() or has(arguments, "--run"):
        raise ConfigError(f"{AGENTS} takes a task, and no run: collm {name} TASK {AGENTS} URL URL …")
    first = _parsed(form, name, arguments, default_options(names[0]), Sampling())
    check(first.remote, "remote.")
    with seated(first.agents, first.remote, key_of(first.remote.key_variable, "--remote.key_variable")) as seats:
        options, sampling = default_options(names[0]), Sampling()
        known = [card for card in seats.known if card.task == names[0]]
        if known:
            if not any(argument.startswith("--task.") for argument in arguments):
                seats.require_agreement()
            options, sampling = _as_trained(known[0], options, sampling)
        command = _parsed(form, name, arguments, options, sampling)
        check(command)
        protocol = find_protocol(command.protocol)
        task = make_task(command.task_name, command.task)
        if protocol.single:
            task = single_form(task, command.protocol, "another --protocol")
        seats.require(task)
        say_notes(task)
        yield Session(command, task, protocol, seats)


def _as_trained(card: AgentCard, options: Any, sampling: Sampling) -> tuple[Any, Sampling]:
    """The task's form and the sampling that an agent was trained with. Raises ConfigError if there are none such here."""
    try:
        form = from_mapping(type(options), card.options, "task.", options)
        return form, from_mapping(Sampling, card.sampling, "sampling.", sampling)
    except ConfigError as error:
        raise ConfigError(f"{card.name} was trained with settings that are not known here: {error}") from error


def _parsed(
    form: type[RemoteCommand[Any]], name: str, arguments: Sequence[str], options: Any, sampling: Sampling
) -> RemoteCommand[Any]:
    own: Any = form[type(options)]  # type: ignore[index]
    found: RemoteCommand[Any] = parse(own, name, arguments, form(task=options, agents=(), sampling=sampling))
    if not found.agents:
        raise ConfigError(f"{AGENTS} names none: give one URL for each agent, in the task's order.")
    return found


def silences(plays: Sequence[Play]) -> list[str]:
    """Which agents did not answer, how often and why: a line each, in order of agents."""
    counts = Counter((one.agent, one.reason) for play in plays for one in play.missing)
    return [
        f"agent {agent} was silent {count} time{'s' if count > 1 else ''}, and its empty action was taken: {reason}"
        for (agent, reason), count in sorted(counts.items())
    ]


def status(plays: Sequence[Play], asked: Sequence[Asked]) -> int:
    """The exit status: 1 if an agent never answered, so that nothing of it was played or measured."""
    times = Counter(one.agent for one in asked)
    silent = Counter(one.agent for play in plays for one in play.missing)
    return int(any(silent[agent] == count for agent, count in times.items()))


def seconds(asked: Sequence[Asked]) -> dict[str, Any]:
    """What requests took: wall-clock from the first to the last of each turn, and each agent's own time.

    ``turns`` is a list of {wall, agents}: of many episodes at once the agents' times add up requests that overlap.
    """
    turns = []
    for turn in sorted({one.turn for one in asked}):
        own = [one for one in asked if one.turn == turn]
        agents = sorted({one.agent for one in own})
        turns.append(
            {
                "wall": max(one.ended for one in own) - min(one.started for one in own),
                "agents": [sum(one.ended - one.started for one in own if one.agent == agent) for agent in agents],
            }
        )
    return {"turns": turns, "wall": sum(turn["wall"] for turn in turns)}
