"""Reading `/fill` and `/kill` commands out of an agent's response, within its box and its stock of blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from collm.tasks.minecraft.blocks import AIR
from collm.tasks.minecraft.boxes import Box
from collm.tasks.minecraft.lines import Parsed, block_name, integers, read_lines

NAMES = ("fill", "kill")
KILL = "/kill"


@dataclasses.dataclass(frozen=True)
class Kill:
    """One accepted `/kill`: it ends the spiders' attacks."""


Order = Box | Kill


def parse(text: str, size: tuple[int, int, int], stock: Mapping[str, float], limit: int) -> Parsed[Order]:
    """Read the commands of a response; lines that are not valid commands are counted and dropped.

    Accepted: an optional list marker and slash; `kill` with anything behind it; `fill` with exactly seven arguments,
    integer corners inside the box in any order, and air or a block of ``stock`` in any case with an optional
    ``minecraft:`` prefix. ``stock`` says how many cells of each block may still be filled: every accepted command
    uses its whole volume, and one that would use more than is left is rejected, whatever comes after it.
    """
    left = dict(stock)

    def accept(words: list[str]) -> Order | None:
        if words and words[0].lower() == "kill":
            return Kill()
        box = _box(words, size)
        if box is None or box.block == AIR:
            return box
        if box.volume > left.get(box.block, 0):
            return None
        left[box.block] -= box.volume
        return box

    return read_lines(text, NAMES, limit, accept)


def _box(words: list[str], size: tuple[int, int, int]) -> Box | None:
    if len(words) != 8 or words[0].lower() != "fill":
        return None
    numbers = integers(words[1:7])
    if numbers is None or not all(0 <= number < size[i % 3] for i, number in enumerate(numbers)):
        return None
    x, y, z = (sorted(pair) for pair in zip(numbers[:3], numbers[3:], strict=True))
    return Box((x[0], y[0], z[0]), (x[1], y[1], z[1]), block_name(words[7]))


def write(box: Box) -> str:
    """The command as a line of text."""
    return f"/fill {box}"
