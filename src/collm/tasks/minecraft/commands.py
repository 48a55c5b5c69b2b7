"""Reading `/setblock` commands out of an agent's response."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from collm.tasks.minecraft.blocks import AIR
from collm.tasks.minecraft.font import Cell
from collm.tasks.minecraft.lines import Parsed, block_name, integers, read_lines

NAMES = ("setblock",)


@dataclasses.dataclass(frozen=True)
class Command:
    """One accepted command: put ``block`` (possibly air) at ``cell``."""

    cell: Cell
    block: str

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (self.cell,)


def parse(text: str, blocks: Collection[str], width: int, height: int, limit: int) -> Parsed[Command]:
    """Read the `/setblock` lines of a response; lines that are not valid commands are counted and dropped.

    Accepted: an optional list marker and slash, integer coordinates inside the box (z = 0), a block of ``blocks`` or
    air in any case with an optional ``minecraft:`` prefix; further words on the line are ignored.
    """
    return read_lines(text, NAMES, limit, lambda words: _command(words, blocks, width, height))


def _command(words: list[str], blocks: Collection[str], width: int, height: int) -> Command | None:
    if len(words) < 5 or words[0].lower() != "setblock":
        return None
    numbers = integers(words[1:4])
    if numbers is None:
        return None
    x, y, z = numbers
    block = block_name(words[4])
    if not (0 <= x < width and 0 <= y < height and z == 0) or (block != AIR and block not in blocks):
        return None
    return Command((x, y), block)


def write(cell: Cell, block: str) -> str:
    """The command as a line of text."""
    return f"/setblock {cell[0]} {cell[1]} 0 {block}"
