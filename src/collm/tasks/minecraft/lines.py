"""Reading an agent's response line by line: what all building tasks have in common."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

_MARKER = re.compile(r"^(?:[-*]|\d+[.)])\s*")
_INTEGER = re.compile(r"[+-]?\d+(?:_\d+)*\Z", re.ASCII)
_FENCE = "```"

C = TypeVar("C")


@dataclasses.dataclass(frozen=True)
class Parsed(Generic[C]):
    """What a response contains."""

    commands: tuple[C, ...]
    """The accepted commands in order, cut at the command limit."""
    lines: int
    """Non-empty lines (within the first fenced block, if there is one)."""
    rejected: int
    """Non-empty lines that are not accepted commands, those beyond the limit included."""


def unfenced(text: str, names: Sequence[str]) -> str:
    """The first fenced block without its language line if the text has two fence marks, else the text itself.

    A first line that begins with a command of ``names`` is no language line.
    """
    parts = text.split(_FENCE, 2)
    if len(parts) < 3:
        return text
    first, newline, rest = parts[1].partition("\n")
    is_language = newline and not first.strip().lstrip("/").lower().startswith(tuple(names))
    return rest if is_language else parts[1]


def read_lines(text: str, names: Sequence[str], limit: int, accept: Callable[[list[str]], C | None]) -> Parsed[C]:
    """Read the commands of a response; lines that ``accept`` turns down, or beyond the limit, are counted and dropped.

    ``accept`` receives the words of a line, without list marker and slash, in the order of the lines, and is asked
    only while there is room for a further command.
    """
    accepted: list[C] = []
    lines = 0
    for raw in unfenced(text, names).splitlines():
        line = raw.strip()
        if not line:
            continue
        lines += 1
        if len(accepted) < limit:
            command = accept(_MARKER.sub("", line, count=1).strip().removeprefix("/").split())
            if command is not None:
                accepted.append(command)
    return Parsed(tuple(accepted), lines, lines - len(accepted))


def integers(words: Sequence[str]) -> list[int] | None:
    """The words as integers, or None if one of them is none (``~``, ``^``, decimals and endless digits are not)."""
    if not all(_INTEGER.match(word) and len(word) < 10 for word in words):
        return None
    return [int(word) for word in words]


def block_name(word: str) -> str:
    """A block's name as the tasks know it: lower case, without ``minecraft:``."""
    return word.lower().removeprefix("minecraft:")
