"""Where HouseBuild's houses come from: generated designs with disjoint splits, and the five released shapes."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from typing import Literal

import numpy as np

from collm.errors import ProblemError
from collm.randomness import generator
from collm.tasks import splits
from collm.tasks.minecraft.blocks import AIR
from collm.tasks.minecraft.boxes import Cell
from collm.tasks.protocol import Problem, Split

LETTERS: Mapping[str, str] = {
    "C": "white_concrete",
    "O": "obsidian",
    "S": "stone_stairs",
    "B": "stone_bricks",
    "D": "planks",
    "A": AIR,
}
"""The inventory of the released records."""
WALLS = "COSB"
"""What floors, walls, roofs, edges and posts may be made of; doors are planks."""
NONE = "_"
ROOFS = ("flat", "trim", "gable", "hip")
RELEASED_TRAIN = 4
"""Of the five distinct shapes the released configuration trains on the first four and evaluates on the last."""

Size = Literal["small", "medium", "large"]
Layers = tuple[tuple[str, ...], ...]
"""Rows of letters: layers[y][z][x]."""

_DRAWS_PER_HOUSE = 40
_CODE = re.compile(rf"(\d)x(\d)x(\d)-({'|'.join(ROOFS)})-([{WALLS}]{{3}}[{WALLS}{NONE}]{{2}})(-e)?(-w)?\Z")


@dataclasses.dataclass(frozen=True)
class HouseProblem(Problem):
    """A house to build."""

    layers: Layers

    @functools.cached_property
    def target(self) -> dict[Cell, str]:
        """The block of every cell that is not air."""
        return {cell: block for cell, block in self.cells.items() if block != AIR}

    @functools.cached_property
    def cells(self) -> dict[Cell, str]:
        """The block of every cell of the box, air included."""
        return {
            (x, y, z): LETTERS[letter]
            for y, rows in enumerate(self.layers)
            for z, row in enumerate(rows)
            for x, letter in enumerate(row)
        }

    @functools.cached_property
    def counts(self) -> dict[str, int]:
        """How many cells of each solid block the house has."""
        counted = Counter(self.target.values())
        return {block: counted[block] for block in LETTERS.values() if counted[block]}

    @property
    def size(self) -> tuple[int, int, int]:
        """Cells of the box along x, y and z."""
        return len(self.layers[0][0]), len(self.layers), len(self.layers[0])


@dataclasses.dataclass(frozen=True)
class Design:
    """The plan of a generated house, mirrored left to right; its code is its problem's id."""

    width: int
    depth: int
    walls: int
    """Layers of wall between floor and roof."""
    roof: str
    materials: str
    """Letters of floor, wall, roof, the roof's edge and the corner posts; '_' for no edge or posts."""
    eaves: bool
    """Whether the roof reaches one row beyond the front and the back wall."""
    windows: bool

    @property
    def code(self) -> str:
        marks = ("-e" if self.eaves else "") + ("-w" if self.windows else "")
        return f"{self.width}x{self.depth}x{self.walls}-{self.roof}-{self.materials}{marks}"

    def layers(self) -> Layers:
        floor, wall, roof, edge, post = tuple(self.materials)
        post = wall if post == NONE else post
        inner = [
            [floor * self.width] * self.depth,
            *(self._wall_layer(y, wall, post) for y in range(1, self.walls + 1)),
        ]
        margin = ["A" * self.width] * self.eaves
        below = [(*margin, *rows, *margin) for rows in inner]
        return (*below, *self._roof_layers(roof, edge))

    def _wall_layer(self, y: int, wall: str, post: str) -> list[str]:
        side = post + wall * (self.width - 2) + post
        middle = wall + "A" * (self.width - 2) + wall
        rows = [side, *[middle] * (self.depth - 2), side]
        half = self.width // 2 - 1
        gap = {1: "DD", 2: "AA"}.get(y)
        if gap is not None:
            rows[0] = rows[0][:half] + gap + rows[0][half + 2 :]
        if self.windows and y == 2:
            rows[self.depth // 2] = "A" * self.width
        return rows

    def _roof_layers(self, roof: str, edge: str) -> list[tuple[str, ...]]:
        """Solid layers, each smaller than the one below where the roof has a slope."""
        rows = self.depth + 2 * self.eaves
        if self.roof == "flat":
            return [(roof * self.width,) * rows]
        layers = []
        for step in range(1 if self.roof == "trim" else (rows + 1) // 2):
            cut = step if self.roof == "hip" else 0
            if self.width - 2 * cut < 2:
                break
            inside = range(step, rows - step)
            ends = {inside[0], inside[-1]} if len(inside) > 1 else set()
            full = [(edge if z in ends else roof) * (self.width - 2 * cut) if z in inside else "" for z in range(rows)]
            layers.append(tuple(("A" * cut + row + "A" * cut) if row else "A" * self.width for row in full))
        return layers


@functools.cache
def released_houses() -> tuple[HouseProblem, ...]:
    """The five distinct houses of the released environment, in file order."""
    text = files("collm.tasks.minecraft").joinpath("data/released_houses.json").read_text()
    return tuple(HouseProblem(row["id"], tuple(tuple(rows) for rows in row["layers"])) for row in json.loads(text))


def split_of(layers: Layers) -> Split | None:
    """The split of a generated house, whatever the seed or size: three, one and one fifths of all shapes.

    It depends on the finished house, so that two designs of one shape fall into one split. None for the released
    houses, which form a split of their own.
    """
    if any(house.layers == layers for house in released_houses()):
        return None
    return splits.split_of("house-build", "/".join(",".join(rows) for rows in layers))


@functools.cache
def generated_houses(split: Split, size: Size, count: int, seed: int) -> tuple[HouseProblem, ...]:
    """Up to ``count`` distinct houses of a split, in an order that depends on the seed.

    Fewer come back where fewer exist.
    """
    random = generator("house-build designs", split, size, seed)
    found: dict[Layers, HouseProblem] = {}
    for _ in range(_DRAWS_PER_HOUSE * count):
        if len(found) == count:
            break
        design = draw_design(random, size)
        layers = design.layers()
        if layers not in found and split_of(layers) == split:
            found[layers] = HouseProblem(design.code, layers)
    return tuple(found.values())


def draw_design(random: np.random.Generator, size: Size) -> Design:
    """A random design of a size; the larger, the more kinds of roof, and only small ones lack eaves and windows.

    In small houses all parts differ in material, so that few boxes make a house.
    """
    if size == "small":
        return _small(random)
    if size == "medium":
        width, depth, walls = 2 * int(random.integers(2, 4)), int(random.integers(4, 7)), int(random.integers(2, 4))
    else:
        width, depth, walls = 2 * int(random.integers(3, 5)), int(random.integers(5, 8)), int(random.integers(3, 5))
    roof = ROOFS[int(random.integers(3 if size == "medium" else 4))]
    eaves, windows = (bool(random.integers(2)) for _ in range(2))
    wall = _pick(random)
    floor, top = _pick(random, wall), _pick(random, wall)
    edge = NONE if roof == "flat" else _pick(random, wall + top)
    post = _pick(random, wall + floor) if random.random() < 0.5 else NONE
    return Design(width, depth, walls, roof, floor + wall + top + edge + post, eaves, windows)


def _small(random: np.random.Generator) -> Design:
    width, depth, walls = 2 * int(random.integers(2, 4)), int(random.integers(3, 8)), int(random.integers(1, 3))
    wall = _pick(random)
    floor = _pick(random, wall)
    roof = _pick(random, wall + floor)
    post = _pick(random, wall + floor + roof) if width == 4 and random.random() < 0.5 else NONE
    return Design(width, depth, walls, "flat", floor + wall + roof + NONE + post, False, False)


def _pick(random: np.random.Generator, without: str = "") -> str:
    """A material that is none of these, so that the parts of a house can be told apart."""
    rest = [letter for letter in WALLS if letter not in without]
    return rest[int(random.integers(len(rest)))]


def named_house(text: str) -> HouseProblem:
    """The house of this id or code. Raises ProblemError, with the form of a code, if there is none."""
    for house in released_houses():
        if house.id == text:
            return house
    match = _CODE.match(text)
    if match is None:
        raise ProblemError(
            f"there is no house {text!r}. Known: {', '.join(house.id for house in released_houses())}, or a design such "
            "as 4x5x2-flat-CBO__ or 6x5x3-gable-BCSBO-e-w (width x depth x walls, roof, letters of floor, wall, roof, "
            f"edge and posts from {WALLS} or _, -e eaves, -w windows); roofs: {', '.join(ROOFS)}."
        )
    width, depth, walls = (int(part) for part in match.groups()[:3])
    if width < 4 or width % 2 or depth < 3 or walls < 1:
        raise ProblemError(f"the house {text!r} needs an even width from 4 to 8, a depth of 3 to 9 and 1 to 9 walls.")
    materials = match[5]
    if (materials[3] == NONE) != (match[4] == "flat"):
        raise ProblemError(f"the house {text!r}: every roof but the flat one has an edge, and the flat one has none.")
    design = Design(width, depth, walls, match[4], materials, match[6] is not None, match[7] is not None)
    return HouseProblem(design.code, design.layers())
