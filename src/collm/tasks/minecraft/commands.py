"""Reading `/setblock` commands out of an agent's response."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection

from collm.tasks.minecraft.blocks import AIR
from collm.tasks.minecraft.font import Cell

_MARKER = re.compile(r"^(?:[-*]|\d+[.)])\s*")
_INTEGER = re.compile(r"[+-]?\d+(?:_\d+)*\Z", re.ASCII)
_FENCE = "```"


@dataclasses.dataclass(frozen=True)
class Command:
    """One accepted command: put ``block`` (possibly air) at ``cell``."""

    cell: Cell
    block: str


@dataclasses.dataclass(frozen=True)
class Parsed:
    """What a response contains."""

    commands: tuple[Command, ...]
    """The accepted commands in order, cut at the command limit."""
    lines: int
    """Non-empty lines (within the first fenced block, if there is one)."""
    rejected: int
    """Non-empty lines that are not accepted commands, those beyond the limit included."""


def unfenced(text: str) -> str:
    """The first fenced block without its language line if the text has two fence marks, else the text itself."""
    parts = text.split(_FENCE, 2)
    if len(parts) < 3:
        return text
    first, newline, rest = parts[1].partition("\n")
    is_language = newline and not first.strip().lstrip("/").lower().startswith("setblock")
    return rest if is_language else parts[1]


def parse(text: str, blocks: Collection[str], width: int, height: int, limit: int) -> Parsed:
    """Read the `/setblock` lines of a response; lines that are not valid commands are counted and dropped.

    Accepted: an optional list marker and slash, integer coordinates inside the box (z = 0), a block of ``blocks`` or
    air in any case with an optional ``minecraft:`` prefix; further words on the line are ignored.
    """
    accepted: list[Command] = []
    lines = 0
    for raw in unfenced(text).splitlines():
        line = raw.strip()
        if not line:
            continue
        lines += 1
        command = _command(line, blocks, width, height)
        if command is not None and len(accepted) < limit:
            accepted.append(command)
    return Parsed(tuple(accepted), lines, lines - len(accepted))


def _command(line: str, blocks: Collection[str], width: int, height: int) -> Command | None:
    words = _MARKER.sub("", line, count=1).strip().removeprefix("/").split()
    if len(words) < 5 or words[0].lower() != "setblock":
        return None
    if not all(_INTEGER.match(word) and len(word) < 10 for word in words[1:4]):
        return None
    x, y, z = (int(word) for word in words[1:4])
    block = words[4].lower().removeprefix("minecraft:")
    if not (0 <= x < width and 0 <= y < height and z == 0) or (block != AIR and block not in blocks):
        return None
    return Command((x, y), block)


def write(cell: Cell, block: str) -> str:
    """The command as a line of text."""
    return f"/setblock {cell[0]} {cell[1]} 0 {block}"
