"""The subject: a confined child that loads the tested code and answers calls. It knows nothing of any test."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

from . import codec
from .channel import Channel

_MESSAGE = 500
"""Characters kept of an exception's message."""


def run(channel: Channel, source: str) -> None:
    """Load the source, say whether that went well, and answer calls until the parent ends the process."""
    namespace = new_module("solution")
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
        return ("raised", *describe(error))


def describe(error: BaseException) -> tuple[str, str]:
    """Type and message; an exception's own ``__str__`` may fail as it likes."""
    try:
        message = str(error)[:_MESSAGE]
        if type(message) is not str:
            message = ""
    except BaseException:
        message = ""
    name = type(error).__name__
    return (str.__str__(name)[:80], message)


def new_module(name: str) -> dict[str, Any]:
    """The namespace of an empty module that is registered under ``name``."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    return module.__dict__
