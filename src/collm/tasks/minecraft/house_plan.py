"""Who builds what of a house: limits per block, and a canonical plan that keeps them and shares the work equally."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence

from collm.tasks.minecraft.boxes import Box, Cell, boxes
from collm.tasks.minecraft.houses import HouseProblem

_ORDERS = tuple(itertools.permutations(range(3)))


def limits(counts: Mapping[str, int], roles: int, share: float) -> dict[str, int]:
    """Cells of each block that one role may fill: ⌈c/n⌉ + ⌊(share − 1)·c/n⌋ of c (TASKS 6.2: a share of 1.5)."""
    return {
        block: math.ceil(count / roles) + math.floor((share - 1) * count / roles + 1e-9)
        for block, count in counts.items()
    }


@functools.lru_cache(maxsize=4096)
def shares(problem: HouseProblem, roles: int) -> tuple[tuple[Box, ...], ...]:
    """Each role's boxes in an optimal build, from below upwards.

    Every block is dealt out in equal parts, and where a part is left over the roles take turns, so that no role has
    more than ⌈c/n⌉ of any block and all have equally many cells in all, or one more. The cells of a block are cut
    where it takes the fewest boxes.
    """
    parts: list[list[Box]] = [[] for _ in range(roles)]
    first = 0
    for block, count in problem.counts.items():
        extra = {(first + i) % roles for i in range(count % roles)}
        first += count % roles
        sizes = [count // roles + (role in extra) for role in range(roles)]
        cells = [cell for cell, kind in problem.target.items() if kind == block]
        cuts = [_cut(cells, sizes, order, block) for order in _ORDERS]
        for part, found in zip(parts, min(cuts, key=lambda cut: sum(map(len, cut))), strict=True):
            part += found
    return tuple(tuple(sorted(part, key=lambda box: (box.low[1], box.low[2], box.low[0]))) for part in parts)


def _cut(cells: Sequence[Cell], sizes: Sequence[int], order: Sequence[int], block: str) -> list[list[Box]]:
    """The cells, sorted by the axes of ``order``, in consecutive parts of the given sizes."""
    ordered = sorted(cells, key=lambda cell: tuple(cell[axis] for axis in order))
    ends = list(itertools.accumulate(sizes, initial=0))
    return [boxes(dict.fromkeys(ordered[start:end], block)) for start, end in itertools.pairwise(ends)]


def pieces(problem: HouseProblem, roles: int) -> list[Box]:
    """The boxes of all shares together, from below upwards: every one small enough for a single role."""
    found = [box for share in shares(problem, roles) for box in share]
    return sorted(found, key=lambda box: (box.low[1], box.low[2], box.low[0]))
