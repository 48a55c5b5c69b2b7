"""The errors CoLLM raises on purpose. Each message says what was found, what is allowed and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CollmError(Exception):
    """Base of every error a user can meet; the command prints it without a traceback."""

    exit_status = 1


class ConfigError(CollmError):
    """A name, key or value that is not allowed."""

    exit_status = 2


class ProblemError(CollmError):
    """A problem that a task cannot pose, such as a word with letters outside the font."""

    exit_status = 2


class TaskError(CollmError):
    """An exception inside a task; names the problem, the turn and the agents."""


class CheckpointError(CollmError):
    """A checkpoint that is missing, cut short or altered."""


class RunExistsError(CollmError):
    """A run folder that is already in use."""

    exit_status = 2


class DivergedError(CollmError):
    """Several updates in a row had a non-finite loss."""


class OutOfMemoryError(CollmError):
    """Memory ran out; says what was being done and which settings need less."""


class ModelError(CollmError):
    """A model or tokenizer that cannot be used as asked."""


class BenchError(CollmError):
    """A benchmark that cannot go on: a side that failed, work that is not equal, an environment that cannot be made."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ConfigError:
    """The error for a name that does not exist: the nearest valid one first, then all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return ConfigError(f"unknown {kind} '{name}'.{hint} Known: {', '.join(names) or 'none'}.")
