"""Boxes of one block in three dimensions: what a `/fill` places, and how a build falls apart into few of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

Cell = tuple[int, int, int]
"""(x, y, z): x from west to east, y upwards, z from north to south."""

_GROWTH = tuple(itertools.permutations(range(3)))


@dataclasses.dataclass(frozen=True)
class Box:
    """All cells from ``low`` to ``high``, both included, of one block."""

    low: Cell
    high: Cell
    block: str

    @property
    def cells(self) -> Iterator[Cell]:
        """Every cell, layer by layer from below."""
        for y in range(self.low[1], self.high[1] + 1):
            for z in range(self.low[2], self.high[2] + 1):
                for x in range(self.low[0], self.high[0] + 1):
                    yield x, y, z

    @property
    def volume(self) -> int:
        width, height, depth = (high - low + 1 for low, high in zip(self.low, self.high, strict=True))
        return width * height * depth

    def __str__(self) -> str:
        return f"{' '.join(map(str, (*self.low, *self.high)))} {self.block}"


def boxes(blocks: Mapping[Cell, str]) -> list[Box]:
    """Disjoint boxes that cover exactly the given cells: the fewest that greedy growth finds, from below upwards."""
    found = min((_grown(blocks, axes) for axes in _GROWTH), key=len)
    return sorted(found, key=lambda box: (box.low[1], box.low[2], box.low[0]))


def _grown(blocks: Mapping[Cell, str], axes: Sequence[int]) -> list[Box]:
    """Boxes grown from each first free cell along the axes, one after the other, as far as they go."""
    free = dict(blocks)
    found = []
    for cell in sorted(blocks, key=lambda cell: tuple(cell[axis] for axis in reversed(axes))):
        if cell not in free:
            continue
        box = Box(cell, cell, free[cell])
        for axis in axes:
            wider = _extended(box, axis)
            while all(free.get(c) == box.block for c in wider.cells):
                box, wider = wider, _extended(wider, axis)
        for taken in box.cells:
            del free[taken]
        found.append(box)
    return found


def _extended(box: Box, axis: int) -> Box:
    high = list(box.high)
    high[axis] += 1
    return Box(box.low, (high[0], high[1], high[2]), box.block)


def rectangles(blocks: Mapping[Cell, str]) -> list[Box]:
    """The released view: in each layer runs along x, merged along z while ends and block repeat (TASKS 6.1)."""
    done: list[Box] = []
    open_runs: dict[tuple[int, int, int, str], Box] = {}
    for run in _runs(blocks):
        x1, y, z = run.low
        above = open_runs.pop((x1, run.high[0], y, run.block), None)
        if above is not None and above.high[2] == z - 1:
            run = Box(above.low, run.high, run.block)
        elif above is not None:
            done.append(above)
        open_runs[x1, run.high[0], y, run.block] = run
    done += open_runs.values()
    return sorted(done, key=lambda box: (box.low[1], box.low[2], box.low[0]))


def _runs(blocks: Mapping[Cell, str]) -> Iterator[Box]:
    """Maximal runs of one block along x, in the order of y, z, x."""
    run: Box | None = None
    for x, y, z in sorted(blocks, key=lambda cell: (cell[1], cell[2], cell[0])):
        block = blocks[x, y, z]
        if run is not None and run.block == block and run.high == (x - 1, y, z):
            run = Box(run.low, (x, y, z), block)
            continue
        if run is not None:
            yield run
        run = Box((x, y, z), (x, y, z), block)
    if run is not None:
        yield run
