"""The two roles of a confined child: the subject runs the tested code, the judge runs a check against it.

The subject knows its source and the call it is answering, nothing else. The judge knows the check; what it calls as
``candidate`` is a question to the parent, which puts it to the subject.
"""

from __future__ import annotations

import ast
import builtins
import sys
import types
from collections.abc import Callable
from typing import Any

from . import asserts, codec
from .channel import Channel

_MESSAGE = 500
"""Characters kept of an exception's message."""


class CandidateError(Exception):
    """Raised in a check when the candidate failed with an exception that is no built-in one."""


def serve(channel: Channel) -> None:
    """Play the role that the first message names, until the parent ends the process."""
    role, *parts = channel.receive()
    if role == "judge":
        _judge(channel, *parts)
    else:
        _subject(channel, *parts)


def _subject(channel: Channel, source: str) -> None:
    namespace = _module("solution")
    channel.send(_outcome(lambda: exec(compile(source, "<solution>", "exec"), namespace)))
    while True:
        name, arguments, keywords = channel.receive()
        reply = _outcome(lambda: _function(namespace, name)(*arguments, **keywords))  # noqa: B023
        try:
            channel.send(reply)
        except codec.Refused as error:
            channel.send(("refused", str(error)))


def _function(namespace: dict[str, Any], name: str) -> Callable[..., Any]:
    if name not in namespace:
        raise NameError(f"the program defines no '{name}'")
    function: Callable[..., Any] = namespace[name]
    return function


def _outcome(action: Callable[[], Any]) -> tuple[Any, ...]:
    try:
        return ("value", action())
    except BaseException as error:
        return ("raised", *_describe(error))


def _describe(error: BaseException) -> tuple[str, str]:
    """Type and message; an exception's own ``__str__`` may fail as it likes."""
    try:
        message = str(error)[:_MESSAGE]
        if type(message) is not str:
            message = ""
    except BaseException:
        message = ""
    name = type(error).__name__
    return (str.__str__(name)[:80], message)


def _module(name: str) -> dict[str, Any]:
    """The namespace of an empty module that is registered under ``name``."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    return module.__dict__


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


def _judge(channel: Channel, source: str, entry_point: str) -> None:
    judge = _Judge(channel)
    namespace = _module("check")
    namespace[entry_point] = judge.candidate
    namespace[asserts.RECORD] = judge.record
    try:
        exec(compile(asserts.instrument(ast.parse(source)), "<check>", "exec"), namespace)
        if "check" in namespace:
            namespace["check"](judge.candidate)
    except BaseException as error:
        channel.send(("end", *_describe(error)))
    else:
        channel.send(("end",))


def _sentence(error: BaseException) -> str:
    name, message = _describe(error)
    if isinstance(error, CandidateError):
        return message
    return f"{name}: {message}" if message else name
