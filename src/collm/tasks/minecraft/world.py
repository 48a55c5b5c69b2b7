"""A world of blocks that several roles change at once: who put what where, and how they went about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from collm.tasks.minecraft.blocks import AIR

CellT = TypeVar("CellT")
CellT_co = TypeVar("CellT_co", covariant=True)


@dataclasses.dataclass(frozen=True)
class Placed:
    """A solid block in the world and the role that put it there last."""

    block: str
    role: int


@dataclasses.dataclass(frozen=True)
class Conduct:
    """How the roles behaved while the world was built: the counts behind the hardened profile and the logs."""

    lines: int = 0
    """Non-empty lines written."""
    rejected: int = 0
    """Those that were not accepted commands."""
    placed: int = 0
    """Accepted commands that put solid blocks."""
    overlaps: int = 0
    """Of those, how many overwrote a cell that another role had set in the same turn."""

    def __add__(self, other: Conduct) -> Conduct:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Conduct(*(a + b for a, b in pairs))

    @property
    def overlap(self) -> float:
        """Share of the solid commands that overlapped."""
        return self.overlaps / self.placed if self.placed else 0.0

    @property
    def invalid(self) -> float:
        """Share of the lines that were rejected."""
        return self.rejected / self.lines if self.lines else 0.0


class Placing(Protocol[CellT_co]):
    """A command that sets cells to one block."""

    @property
    def cells(self) -> Iterable[CellT_co]: ...

    @property
    def block(self) -> str: ...


def apply(
    world: Mapping[CellT, Placed], moves: Iterable[tuple[int, Placing[CellT]]]
) -> tuple[dict[CellT, Placed], int, int]:
    """The world after the moves (role, command) of one turn, in order; the solid commands; how many overlapped."""
    after = dict(world)
    set_by: dict[CellT, set[int]] = {}
    placed = overlaps = 0
    for role, command in moves:
        cells = tuple(command.cells)
        if command.block == AIR:
            for cell in cells:
                after.pop(cell, None)
        else:
            placed += 1
            overlaps += any(set_by.get(cell, set()) - {role} for cell in cells)
            after.update(dict.fromkeys(cells, Placed(command.block, role)))
        for cell in cells:
            set_by.setdefault(cell, set()).add(role)
    return after, placed, overlaps


IDLE_CEILING = 0.6
"""The score that a build may reach at most while one role stays idle, of 1."""


def idle_weight(least: float, reached: float, floor: float, maximum: float) -> float:
    """What idling costs: ``least``, or more where the other roles alone could pass the ceiling with R = ``reached``."""
    return max(least, reached - floor - IDLE_CEILING * (maximum - floor))


def idleness(shares: list[int]) -> float:
    """1 − min(1, least share / equal share) of the target cells that each role holds; 0 when nobody holds any.

    The equal share is rounded down, because an odd number of cells has none and the maximum must stay attainable.
    """
    held = sum(shares)
    return 1.0 - min(1.0, min(shares) / max(1, held // len(shares))) if held else 0.0
