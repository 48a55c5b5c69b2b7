"""What several commands share: parsing with the library's messages, JSON output, progress notes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tyro

from collm.config import from_saved
from collm.errors import ConfigError
from collm.tasks.protocol import Task
from collm.training.metrics import to_json
from collm.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collm.models.policy import Policy

T = TypeVar("T")
AGENTS = "--agents"
"""The flag of `eval` and `play` behind which agents are named that live elsewhere."""
CONFIG = (tyro.conf.FlagCreatePairsOff,)


def parse(cls: type[T], command: str, arguments: Sequence[str], default: T | None = None) -> T:
    """Flags to a dataclass; unknown flags and bad values print what is allowed and exit with status 2."""
    keywords: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(cls, prog=f"collm {command}", args=list(arguments), config=CONFIG, **keywords)


def peek(arguments: Sequence[str], flag: str) -> str | None:
    """The value of a flag, before the whole line can be parsed because its meaning depends on this one."""
    for index, argument in enumerate(arguments):
        if argument == flag and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith(f"{flag}="):
            return argument.split("=", 1)[1]
    return None


def has(arguments: Sequence[str], flag: str) -> bool:
    """Whether a flag is among the arguments."""
    return any(argument == flag or argument.startswith(f"{flag}=") for argument in arguments)


def key_of(variable: str | None, flag: str) -> str | None:
    """The key in an environment variable. Raises ConfigError if it holds none, or one that HTTP cannot carry."""
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise ConfigError(f"{flag} {variable}: that environment variable is not set. Put the key into it.")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{flag} {variable}: a key has letters, digits and marks of ASCII only.")
    return key


def print_json(mapping: dict[str, Any]) -> None:
    """Exactly one JSON object on standard output."""
    print(json.dumps(json.loads(to_json(mapping))))


def note(text: str) -> None:
    """A line for people, on standard error."""
    print(text, file=sys.stderr, flush=True)


def say_notes(task: Task, policies: Sequence[Policy] = ()) -> None:
    """What the task and the models want a person to know, on standard error."""
    lines = [*task.notes()]
    if policies:
        from collm.models.policy import notes

        lines += notes(policies)
    for line in lines:
        note(line)


def open_run(path: Path) -> tuple[RunFolder, Any]:
    """A run folder and its configuration."""
    folder = RunFolder.open(path)
    return folder, from_saved(folder.read_config())
