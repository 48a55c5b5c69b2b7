"""What a StrBuild world is worth: the released reward, the hardened one, and their parts (reference: TASKS 0, 5.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from collm.tasks.minecraft.blocks import AIR, texture
from collm.tasks.minecraft.commands import Command
from collm.tasks.minecraft.font import HEIGHT, Cell

MAXIMUM = 2.0
EXTRA_WEIGHT = 1.5
MISSING_WEIGHT = 0.25
OVERLAP_WEIGHT = 0.5
INVALID_WEIGHT = 0.25
IDLE_WEIGHT = 0.5


@dataclasses.dataclass(frozen=True)
class Placed:
    """A solid block in the world and the role that put it there last."""

    block: str
    role: int


World = Mapping[Cell, Placed]
"""The non-air cells of the box."""


@dataclasses.dataclass(frozen=True)
class Conduct:
    """How the roles behaved while the world was built: the counts behind the hardened profile and the logs."""

    lines: int = 0
    """Non-empty lines written."""
    rejected: int = 0
    """Those that were not accepted commands."""
    placed: int = 0
    """Accepted commands that put a solid block."""
    overlaps: int = 0
    """Of those, how many overwrote a cell that another role had set in the same turn."""

    def __add__(self, other: Conduct) -> Conduct:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Conduct(*(a + b for a, b in pairs))


Move = tuple[int, Command]
"""A role and its command."""


def apply(world: World, moves: Iterable[Move]) -> tuple[dict[Cell, Placed], int, int]:
    """The world after the moves of one turn, in order; the solid commands; and how many of them overlapped."""
    cells = dict(world)
    set_by: dict[Cell, int] = {}
    placed = overlaps = 0
    for role, command in moves:
        if command.block == AIR:
            cells.pop(command.cell, None)
        else:
            placed += 1
            overlaps += set_by.get(command.cell, role) != role
            cells[command.cell] = Placed(command.block, role)
        set_by[command.cell] = role
    return cells, placed, overlaps


def adjacency(world: World) -> float:
    """Same-texture pairs over all pairs of side-sharing solid blocks; 0 without pairs."""
    pairs = same = 0
    for (x, y), placed in world.items():
        for neighbour in ((x + 1, y), (x, y + 1)):
            other = world.get(neighbour)
            if other is not None:
                pairs += 1
                same += texture(placed.block) == texture(other.block)
    return same / pairs if pairs else 0.0


def evaluate(
    world: World, conduct: Conduct, target: frozenset[Cell], width: int, palettes: Sequence[Sequence[str]]
) -> dict[str, float]:
    """All components of a world; ``paper`` and ``hardened`` are the two rewards R (maximum 2 for both).

    ``palettes`` holds the solid blocks of each role. With nothing covered nobody idles, so that the empty world is
    worth −0.25·roles in both profiles.
    """
    roles = len(palettes)
    covered = [0] * roles
    for cell in target:
        if cell in world:
            covered[world[cell].role] += 1
    hits = sum(covered)
    extra_blocks = len(world) - hits
    present = {placed.block for placed in world.values()}
    missing = sum(not set(palette) <= present for palette in palettes)
    coverage = hits / len(target)
    extra = extra_blocks / (width * HEIGHT - len(target))
    same = adjacency(world)
    paper = MAXIMUM * coverage - EXTRA_WEIGHT * extra - same - MISSING_WEIGHT * missing
    overlap = conduct.overlaps / conduct.placed if conduct.placed else 0.0
    invalid = conduct.rejected / conduct.lines if conduct.lines else 0.0
    # Rounded down, because an odd number of cells has no equal shares and the maximum must stay attainable.
    fair = max(1, hits // roles)
    idle = 1.0 - min(1.0, min(covered) / fair) if hits else 0.0
    hardened = paper - OVERLAP_WEIGHT * overlap - INVALID_WEIGHT * invalid - IDLE_WEIGHT * idle
    return {
        "paper": paper,
        "hardened": hardened,
        "coverage": coverage,
        "extra": extra,
        "adjacency": same,
        "missing_palettes": float(missing),
        "iou": hits / (len(target) + extra_blocks),
        "overlap": overlap,
        "valid": 1.0 - invalid,
        "idle": idle,
    }
