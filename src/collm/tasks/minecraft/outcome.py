"""What a StrBuild world is worth: the released reward, the hardened one, and their parts (reference: TASKS 0, 5.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collm.tasks.minecraft.blocks import texture
from collm.tasks.minecraft.font import HEIGHT, Cell
from collm.tasks.minecraft.world import Conduct, Placed, idle_weight, idleness

MAXIMUM = 2.0
EXTRA_WEIGHT = 1.5
MISSING_WEIGHT = 0.25
OVERLAP_WEIGHT = 0.5
INVALID_WEIGHT = 0.25
IDLE_WEIGHT = 0.5


World = Mapping[Cell, Placed]
"""The non-air cells of the box."""


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


def floor(roles: int) -> float:
    """R of the empty world."""
    return -MISSING_WEIGHT * roles


def weight_of_idling(cells: int, roles: int, commands: int) -> float:
    """0.5, or so much that the others, with so many commands each, score at most 60 without one of them."""
    coverage = min(1.0, (roles - 1) * commands / cells)
    return idle_weight(IDLE_WEIGHT, MAXIMUM * coverage - MISSING_WEIGHT, floor(roles), MAXIMUM)


def evaluate(
    world: World,
    conduct: Conduct,
    target: frozenset[Cell],
    width: int,
    palettes: Sequence[Sequence[str]],
    weight: float = IDLE_WEIGHT,
) -> dict[str, float]:
    """All components of a world; ``paper`` and ``hardened`` are the two rewards R (maximum 2 for both).

    ``palettes`` holds the solid blocks of each role. With nothing covered nobody idles, so that the empty world is
    worth −0.25·roles in both profiles. ``weight`` is what idling costs.
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
    idle = idleness(covered)
    hardened = paper - OVERLAP_WEIGHT * conduct.overlap - INVALID_WEIGHT * conduct.invalid - weight * idle
    return {
        "paper": paper,
        "hardened": hardened,
        "coverage": coverage,
        "extra": extra,
        "adjacency": same,
        "missing_palettes": float(missing),
        "iou": hits / (len(target) + extra_blocks),
        "overlap": conduct.overlap,
        "valid": 1.0 - conduct.invalid,
        "idle": idle,
    }
