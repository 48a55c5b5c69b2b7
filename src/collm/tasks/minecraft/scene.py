"""Isometric drawing of blocks in three dimensions: a plate of grass, shaded cubes, ghosts of what is missing."""

from __future__ import annotations

import colorsys
import dataclasses
import hashlib
import math
from collections.abc import Collection, Mapping, Sequence

from PIL import Image, ImageDraw, ImageFilter

from collm.tasks.minecraft.blocks import COLOURS
from collm.tasks.minecraft.boxes import Cell

Colour = tuple[int, int, int]
Point = tuple[float, float]
Corner = tuple[float, float, float]

_SUPERSAMPLING = 3
_LARGEST_CELL = 46.0
_WIDEST = 1500.0
_MARGIN = 26
_PITCH = math.radians(27)
_SKY = ((206, 224, 241), (249, 244, 234))
_GRASS = (163, 196, 133)
_GRASS_LINE = (140, 176, 112)
_EARTH = (139, 103, 74)
_STRAY = (224, 49, 49)
_WRONG = (240, 140, 0)
_THICKNESS = 0.55
"""Of the plate, in cells."""
_GHOST = (70, 92, 128)
_SUN = (-0.55, -0.62)
"""How far a shadow moves in (x, z) per cell of height."""
_GRAIN = 5
"""Each face is drawn as this many by this many tiles, so that a block looks like its texture."""
_SHADE = {"top": 1.13, "front": 0.97, "side": 0.7}


def colour_of(block: str) -> Colour:
    """The colour of a block; one outside COLOURS gets a muted colour that depends on its name only."""
    if block in COLOURS:
        return COLOURS[block]
    digest = hashlib.blake2b(block.encode(), digest_size=3).digest()
    red, green, blue = colorsys.hsv_to_rgb(digest[0] / 256, 0.35 + digest[1] / 900, 0.6 + digest[2] / 900)
    return round(255 * red), round(255 * green), round(255 * blue)


@dataclasses.dataclass(frozen=True)
class _Camera:
    """An orthographic camera: screen = origin + scale · projection, y downwards."""

    yaw: float
    scale: float
    origin: Point = (0.0, 0.0)

    def __call__(self, corner: Corner) -> Point:
        x, y, z = corner
        across = x * math.cos(self.yaw) + z * math.sin(self.yaw)
        nearness = z * math.cos(self.yaw) - x * math.sin(self.yaw)
        down = nearness * math.sin(_PITCH) - y * math.cos(_PITCH)
        return self.origin[0] + self.scale * across, self.origin[1] + self.scale * down


@dataclasses.dataclass(frozen=True)
class Scene:
    """A box of cells on its plate, seen from the left (low x), from above and from the front (high z)."""

    size: Cell
    """Cells along x, y and z."""
    yaw: float
    """How far the camera stands to the left of the front, in degrees."""
    margins: tuple[float, float, float]
    """How far the plate reaches beyond the box: to the sides, to the back, to the front (in cells)."""

    @property
    def plate(self) -> tuple[float, float, float, float]:
        """Left, right, back and front of the plate."""
        side, back, front = self.margins
        return -side, self.size[0] + side, -back, self.size[2] + front

    def draw(self, blocks: Mapping[Cell, str], target: Mapping[Cell, str | None]) -> Image.Image:
        """The blocks as cubes, and what else the target has as translucent ghosts.

        Blocks off the target have red edges, blocks of another kind than the target's orange ones (a target of None
        takes any block). The picture's size depends on the scene alone, so that pictures can be laid side by side.
        """
        camera, size = self._frame()
        image = _background(size)
        _draw_ground(image, camera, self.plate, blocks)
        draw = ImageDraw.Draw(image, "RGBA")
        solid = target.keys() | blocks.keys()
        # Far cubes first.
        for cell in sorted(solid, key=lambda cell: (cell[2], -cell[0], cell[1])):
            if cell in blocks:
                _draw_cube(draw, camera, cell, blocks, _edge(blocks[cell], cell, target))
            else:
                _draw_ghost(draw, camera, cell, solid)
        return image.reduce(_SUPERSAMPLING)

    def _frame(self) -> tuple[_Camera, tuple[int, int]]:
        """The camera and the supersampled size."""
        yaw = math.radians(self.yaw)
        left, right, back, front = self.plate
        unit = _Camera(yaw, 1.0)
        corners = [unit((x, y, z)) for x in (left, right) for z in (back, front) for y in (-_THICKNESS, 0.0)]
        width, height, depth = (float(extent) for extent in self.size)
        corners += [unit((x, height, z)) for x in (0.0, width) for z in (0.0, depth)]
        low, high = min(x for x, _ in corners), max(x for x, _ in corners)
        top, bottom = min(y for _, y in corners), max(y for _, y in corners)
        cell = max(8.0, min(_LARGEST_CELL, _WIDEST / (high - low)))
        scale, margin = cell * _SUPERSAMPLING, _MARGIN * _SUPERSAMPLING
        size = tuple(
            _SUPERSAMPLING * math.ceil((scale * extent + 2 * margin) / _SUPERSAMPLING)
            for extent in (high - low, bottom - top)
        )
        return _Camera(yaw, scale, (margin - scale * low, margin - scale * top)), (size[0], size[1])


def _edge(block: str, cell: Cell, target: Mapping[Cell, str | None]) -> Colour | None:
    """The colour that marks a block as wrong, or None."""
    if cell not in target:
        return _STRAY
    return None if target[cell] in (None, block) else _WRONG


def _background(size: tuple[int, int]) -> Image.Image:
    column = Image.new("RGB", (1, 256))
    for y in range(256):
        column.putpixel((0, y), _mixed(_SKY[0], _SKY[1], y / 255))
    return column.resize(size, Image.Resampling.BILINEAR)


def _draw_ground(
    image: Image.Image, camera: _Camera, plate: tuple[float, float, float, float], blocks: Collection[Cell]
) -> None:
    """The plate with its grid, and the soft shadow of the blocks on it."""
    left, right, back, front = plate
    top = [camera(p) for p in ((left, 0, back), (right, 0, back), (right, 0, front), (left, 0, front))]
    _cast(image, [(x, y + 0.9 * _THICKNESS * camera.scale) for x, y in top], 0.35 * camera.scale, 70)
    draw = ImageDraw.Draw(image, "RGBA")
    for (x1, z1), (x2, z2), light in (
        ((left, front), (right, front), 1.0),
        ((left, back), (left, front), 0.75),
    ):
        upper = [camera((x1, 0, z1)), camera((x2, 0, z2))]
        middle = [camera((x2, -0.16, z2)), camera((x1, -0.16, z1))]
        lower = [camera((x2, -_THICKNESS, z2)), camera((x1, -_THICKNESS, z1))]
        draw.polygon(upper + lower, fill=_lit(_EARTH, light))
        draw.polygon(upper + middle, fill=_lit(_GRASS, 0.86 * light))
    draw.polygon(top, fill=_GRASS)
    _draw_grid(draw, camera, (math.ceil(left), math.floor(right)), (back, front), (left, right))
    _shadow(image, camera, top, blocks)


def _draw_grid(
    draw: ImageDraw.ImageDraw, camera: _Camera, columns: tuple[int, int], depth: Point, extent: Point
) -> None:
    thin = max(1, round(0.03 * camera.scale))
    for x in range(columns[0], columns[1] + 1):
        draw.line([camera((x, 0, depth[0])), camera((x, 0, depth[1]))], fill=_GRASS_LINE, width=thin)
    for z in range(math.ceil(depth[0]), math.floor(depth[1]) + 1):
        draw.line([camera((extent[0], 0, z)), camera((extent[1], 0, z))], fill=_GRASS_LINE, width=thin)


def _shadow(image: Image.Image, camera: _Camera, plate: Sequence[Point], blocks: Collection[Cell]) -> None:
    mask = Image.new("L", image.size)
    draw = ImageDraw.Draw(mask)
    for x, y, z in blocks:
        outline = [
            camera((x + dx + _SUN[0] * (y + dy), 0, z + dz + _SUN[1] * (y + dy)))
            for dx in (0, 1)
            for dy in (0, 1)
            for dz in (0, 1)
        ]
        draw.polygon(_hull(outline), fill=110)
    on_plate = Image.new("L", image.size)
    ImageDraw.Draw(on_plate).polygon(list(plate), fill=255)
    mask = _blurred(mask, 0.13 * camera.scale)
    mask = Image.composite(mask, Image.new("L", image.size), on_plate)
    image.paste((38, 52, 40), mask=mask)


def _cast(image: Image.Image, polygon: Sequence[Point], radius: float, strength: int) -> None:
    """The blurred shadow of the plate itself."""
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon(list(polygon), fill=strength)
    image.paste((60, 66, 90), mask=_blurred(mask, radius))


def _blurred(mask: Image.Image, radius: float) -> Image.Image:
    """Blurred at the picture's final size: a blur has nothing for supersampling to keep."""
    small = mask.reduce(_SUPERSAMPLING).filter(ImageFilter.GaussianBlur(radius / _SUPERSAMPLING))
    return small.resize(mask.size, Image.Resampling.BILINEAR)


def _hull(points: Sequence[Point]) -> list[Point]:
    """The convex hull, by Andrew's monotone chain."""
    ordered = sorted(set(points))
    chains: list[list[Point]] = []
    for direction in (ordered, ordered[::-1]):
        chain: list[Point] = []
        for point in direction:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        chains.append(chain[:-1])
    return chains[0] + chains[1]


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _faces(camera: _Camera, cell: Cell, occupied: Collection[Cell]) -> dict[str, tuple[Point, ...]]:
    """The faces that no neighbour hides, each as the screen positions of (origin, end of u, end of v)."""
    x, y, z = (float(place) for place in cell)
    corners: dict[str, tuple[Corner, Corner, Corner]] = {
        "side": ((x, y + 1, z), (x, y + 1, z + 1), (x, y, z)),
        "top": ((x, y + 1, z), (x + 1, y + 1, z), (x, y + 1, z + 1)),
        "front": ((x, y + 1, z + 1), (x + 1, y + 1, z + 1), (x, y, z + 1)),
    }
    hidden_by = {
        "side": (cell[0] - 1, cell[1], cell[2]),
        "top": (cell[0], cell[1] + 1, cell[2]),
        "front": (cell[0], cell[1], cell[2] + 1),
    }
    return {
        name: tuple(camera(corner) for corner in face)
        for name, face in corners.items()
        if hidden_by[name] not in occupied
    }


def _patch(face: Sequence[Point], u: Point, v: Point) -> list[Point]:
    """The part of a face between two fractions of its width and two of its height, as a polygon."""
    origin, along_u, along_v = face

    def at(i: float, j: float) -> Point:
        return (
            origin[0] + i * (along_u[0] - origin[0]) + j * (along_v[0] - origin[0]),
            origin[1] + i * (along_u[1] - origin[1]) + j * (along_v[1] - origin[1]),
        )

    return [at(u[0], v[0]), at(u[1], v[0]), at(u[1], v[1]), at(u[0], v[1])]


def _draw_cube(
    draw: ImageDraw.ImageDraw, camera: _Camera, cell: Cell, blocks: Mapping[Cell, str], mark: Colour | None
) -> None:
    block = blocks[cell]
    colour, grain = colour_of(block), _grain(block)
    edge = (*_lit(colour, 0.5), 190) if mark is None else (*mark, 255)
    thickness = max(1, round((0.035 if mark is None else 0.09) * camera.scale))
    steps = [i / _GRAIN for i in range(_GRAIN + 1)]
    for name, face in _faces(camera, cell, blocks).items():
        # A full face below the tiles, so that no background shows through the seams between them.
        draw.polygon(_patch(face, (0, 1), (0, 1)), fill=_lit(colour, _SHADE[name]))
        for i in range(_GRAIN):
            for j in range(_GRAIN):
                tile = _patch(face, (steps[i], steps[i + 1]), (steps[j], steps[j + 1]))
                draw.polygon(tile, fill=_lit(colour, _SHADE[name] * grain[j * _GRAIN + i]))
        outline = _patch(face, (0, 1), (0, 1))
        draw.line([*outline, outline[0]], fill=edge, width=thickness, joint="curve")


def _draw_ghost(draw: ImageDraw.ImageDraw, camera: _Camera, cell: Cell, occupied: Collection[Cell]) -> None:
    thickness = max(1, round(0.03 * camera.scale))
    for name, face in _faces(camera, cell, occupied).items():
        outline = _patch(face, (0, 1), (0, 1))
        draw.polygon(outline, fill=(255, 255, 255, {"top": 105, "front": 80, "side": 50}[name]))
        draw.line([*outline, outline[0]], fill=(*_GHOST, 120), width=thickness, joint="curve")


def _grain(block: str) -> list[float]:
    """The brightness of each tile of a face: boards for planks, else specks that depend on the block."""
    noise = hashlib.blake2b(f"grain {block}".encode(), digest_size=_GRAIN * _GRAIN).digest()
    strength = 0.3 if block in ("obsidian", "gold_block") else 0.13
    if "concrete" in block:
        strength = 0.03
    tiles = [1 + strength * (value / 255 - 0.5) for value in noise]
    if block.endswith("_planks"):
        tiles = [tile * (0.86 if index // _GRAIN % 2 else 1.04) for index, tile in enumerate(tiles)]
    return tiles


def _lit(colour: Colour, light: float) -> Colour:
    red, green, blue = (max(0, min(255, round(channel * light))) for channel in colour)
    return red, green, blue


def _mixed(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (round(p + share * (q - p)) for p, q in zip(a, b, strict=True))
    return red, green, blue
