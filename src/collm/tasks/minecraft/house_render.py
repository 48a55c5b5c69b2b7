"""Pictures of a house: its layers as coloured text for the terminal, and an isometric drawing from the door's side."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from collm.tasks.minecraft.boxes import Cell
from collm.tasks.minecraft.houses import HouseProblem
from collm.tasks.minecraft.render import MISSING, patch
from collm.tasks.minecraft.scene import Scene

_YAW = 38.0
_MARGINS = (1.4, 1.2, 1.8)


def layered_text(problem: HouseProblem, blocks: Mapping[Cell, str]) -> str:
    """All layers side by side, from the lowest on the left: the build above, its target below; the door's row is on top.

    A block is a patch of its colour, one that does not belong there carries ``××``; a missing target cell is dim ``··``.
    """
    built = _band(problem, blocks)
    return "\n".join([_titles(problem), *built, "target:", *_band(problem, problem.target)])


def _titles(problem: HouseProblem) -> str:
    wide = 2 * problem.size[0]
    return "  ".join(f"y={y}".ljust(wide) for y in range(problem.size[1]))


def _band(problem: HouseProblem, blocks: Mapping[Cell, str]) -> list[str]:
    width, height, depth = problem.size
    return [
        "  ".join("".join(_text_cell(problem, blocks, (x, y, z)) for x in range(width)) for y in range(height))
        for z in range(depth)
    ]


def _text_cell(problem: HouseProblem, blocks: Mapping[Cell, str], cell: Cell) -> str:
    wanted = problem.target.get(cell)
    if cell not in blocks:
        return "  " if wanted is None else MISSING
    return patch(blocks[cell], stray=blocks[cell] != wanted)


def isometric(problem: HouseProblem, blocks: Mapping[Cell, str]) -> Image.Image:
    """The build in parallel projection, turned so that the door (low z) is in front.

    Missing cells are translucent ghosts, blocks where nothing belongs have red edges, blocks of the wrong kind orange
    ones. The size depends on the house's box alone.
    """
    width, height, depth = problem.size

    def turned(cells: Mapping[Cell, str]) -> dict[Cell, str]:
        return {(width - 1 - x, y, depth - 1 - z): block for (x, y, z), block in cells.items()}

    wanted: dict[Cell, str | None] = {**turned(problem.target)}
    return Scene((width, height, depth), _YAW, _MARGINS).draw(turned(blocks), wanted)
