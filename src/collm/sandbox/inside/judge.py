"""The judge: a confined child that runs a check. What it calls as ``candidate`` is a question to the parent."""

from __future__ import annotations

import builtins
from typing import Any

from . import codec
from .channel import Channel
from .subject import describe, new_module

RECORD = "__record__"
"""Name under which an instrumented check finds ``record(number of the assert, error or None)``."""


class CandidateError(Exception):
    """Raised in a check when the candidate failed with an exception that is no built-in one."""


def run(channel: Channel, source: str, entry_point: str) -> None:
    """Run an instrumented check against the function that the parent calls ``entry_point``."""
    judge = _Judge(channel)
    namespace = new_module("check")
    namespace[entry_point] = judge.candidate
    namespace[RECORD] = judge.record
    try:
        exec(compile(source, "<check>", "exec"), namespace)
        if "check" in namespace:
            namespace["check"](judge.candidate)
    except BaseException as error:
        channel.send(("end", *describe(error)))
    else:
        channel.send(("end",))


class _Judge:
    """Reports the first pass and the first failure of each assert as they happen."""

    def __init__(self, channel: Channel):
        self._channel = channel
        self._told: set[tuple[int, bool]] = set()

    def record(self, number: int, error: BaseException | None) -> None:
        if (number, error is None) not in self._told:
            self._told.add((number, error is None))
            self._channel.send(("verdict", number, None if error is None else _sentence(error)))

    def candidate(self, *arguments: Any, **keywords: Any) -> Any:
        try:
            self._channel.send(("ask", arguments, keywords))
        except codec.Refused as error:
            raise TypeError(f"the check calls the candidate with {error}") from None
        kind, *parts = self._channel.receive()
        if kind == "value":
            return parts[0]
        name, message = parts
        known = getattr(builtins, name, None) if kind == "raised" else None
        if isinstance(known, type) and issubclass(known, Exception):
            try:
                raised = known(message)
            except TypeError:  # some take more than a message
                raised = CandidateError(f"{name}: {message}")
            raise raised
        raise CandidateError(f"{name}: {message}")


def _sentence(error: BaseException) -> str:
    name, message = describe(error)
    if isinstance(error, CandidateError):
        return message
    return f"{name}: {message}" if message else name
