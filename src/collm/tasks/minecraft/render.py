"""Pictures of a build: coloured text for the terminal, and an isometric drawing to show around."""

from __future__ import annotations

import colorsys
import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from collm.tasks.minecraft import font
from collm.tasks.minecraft.blocks import COLOURS
from collm.tasks.minecraft.font import HEIGHT, Cell

Colour = tuple[int, int, int]
Point = tuple[float, float]
Corner = tuple[float, float, float]

_RESET = "\x1b[0m"
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
_GHOST = (70, 92, 128)
_GROUND = (-1.6, -2.6, 3.0, 0.55)
"""The slab under the wall: overhang in x, its range in z, its thickness (in cells)."""
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


def coloured_text(word: str, blocks: Mapping[Cell, str]) -> str:
    """The box as ANSI truecolor text, top row first, two characters per cell.

    A block is a patch of its colour, one off the target carries ``××``; a missing target cell is dim ``··``.
    """
    target = set(font.cells(word))
    rows = [
        "".join(_text_cell((x, y), blocks.get((x, y)), target) for x in range(font.width(word)))
        for y in reversed(range(HEIGHT))
    ]
    return "\n".join(rows)


def _text_cell(cell: Cell, block: str | None, target: set[Cell]) -> str:
    if block is None:
        return f"\x1b[2m··{_RESET}" if cell in target else "  "
    red, green, blue = colour_of(block)
    patch = f"\x1b[48;2;{red};{green};{blue}m"
    if cell in target:
        return f"{patch}  {_RESET}"
    ink = 30 if red + green + blue > 380 else 97
    return f"{patch}\x1b[1;{ink}m××{_RESET}"


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


def isometric(word: str, blocks: Mapping[Cell, str]) -> Image.Image:
    """The build as a wall of cubes on a plate, in parallel projection.

    Missing target cells are translucent ghosts, blocks off the target have red edges. The size depends on the
    word alone, so that pictures of one word can be laid beside each other.
    """
    width = font.width(word)
    camera, size = _frame(width)
    image = _background(size)
    _draw_ground(image, camera, width, blocks)
    target = set(font.cells(word))
    draw = ImageDraw.Draw(image, "RGBA")
    # Far cubes first: the camera stands to the left of the wall and above it.
    for x, y in sorted(target | set(blocks), key=lambda cell: (-cell[0], cell[1])):
        if (x, y) in blocks:
            _draw_cube(draw, camera, (x, y), blocks, stray=(x, y) not in target)
        else:
            _draw_ghost(draw, camera, (x, y), target | set(blocks))
    final = (size[0] // _SUPERSAMPLING, size[1] // _SUPERSAMPLING)
    return image.resize(final, Image.Resampling.LANCZOS)


def _frame(width: int) -> tuple[_Camera, tuple[int, int]]:
    """The camera and the supersampled size for ``width`` columns; long walls are seen more from the front."""
    yaw = math.radians(max(12.0, 36.0 - 0.55 * width))
    overhang, back, front, thickness = _GROUND
    unit = _Camera(yaw, 1.0)
    corners = [unit((x, y, z)) for x in (overhang, width - overhang) for z in (back, front) for y in (-thickness, 0.0)]
    corners += [unit((x, float(HEIGHT), 0.0)) for x in (0.0, float(width))]
    left, right = min(x for x, _ in corners), max(x for x, _ in corners)
    top, bottom = min(y for _, y in corners), max(y for _, y in corners)
    cell = max(8.0, min(_LARGEST_CELL, _WIDEST / (right - left)))
    scale, margin = cell * _SUPERSAMPLING, _MARGIN * _SUPERSAMPLING
    size = tuple(
        _SUPERSAMPLING * math.ceil((scale * extent + 2 * margin) / _SUPERSAMPLING)
        for extent in (right - left, bottom - top)
    )
    return _Camera(yaw, scale, (margin - scale * left, margin - scale * top)), (size[0], size[1])


def _background(size: tuple[int, int]) -> Image.Image:
    column = Image.new("RGB", (1, 256))
    for y in range(256):
        column.putpixel((0, y), _mixed(_SKY[0], _SKY[1], y / 255))
    return column.resize(size, Image.Resampling.BILINEAR)


def _draw_ground(image: Image.Image, camera: _Camera, width: int, blocks: Mapping[Cell, str]) -> None:
    """The plate with its grid, and the soft shadow of the blocks on it."""
    overhang, back, front, thickness = _GROUND
    left, right = overhang, width - overhang
    top = [camera(p) for p in ((left, 0, back), (right, 0, back), (right, 0, front), (left, 0, front))]
    _cast(image, [(x, y + 0.9 * thickness * camera.scale) for x, y in top], 0.35 * camera.scale, 70)
    draw = ImageDraw.Draw(image, "RGBA")
    for (x1, z1), (x2, z2), light in (
        ((left, front), (right, front), 1.0),
        ((left, back), (left, front), 0.75),
    ):
        upper = [camera((x1, 0, z1)), camera((x2, 0, z2))]
        middle = [camera((x2, -0.16, z2)), camera((x1, -0.16, z1))]
        lower = [camera((x2, -thickness, z2)), camera((x1, -thickness, z1))]
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


def _shadow(image: Image.Image, camera: _Camera, plate: Sequence[Point], blocks: Mapping[Cell, str]) -> None:
    mask = Image.new("L", image.size)
    draw = ImageDraw.Draw(mask)
    for x, y in blocks:
        outline = [
            camera((x + dx + _SUN[0] * (y + dy), 0, dz + _SUN[1] * (y + dy)))
            for dx in (0, 1)
            for dy in (0, 1)
            for dz in (0, 1)
        ]
        draw.polygon(_hull(outline), fill=110)
    on_plate = Image.new("L", image.size)
    ImageDraw.Draw(on_plate).polygon(list(plate), fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(0.13 * camera.scale))
    mask = Image.composite(mask, Image.new("L", image.size), on_plate)
    image.paste(Image.new("RGB", image.size, (38, 52, 40)), mask=mask)


def _cast(image: Image.Image, polygon: Sequence[Point], radius: float, strength: int) -> None:
    """The blurred shadow of the plate itself."""
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon(list(polygon), fill=strength)
    image.paste(Image.new("RGB", image.size, (60, 66, 90)), mask=mask.filter(ImageFilter.GaussianBlur(radius)))


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


def _faces(camera: _Camera, cell: Cell, occupied: Mapping[Cell, str] | set[Cell]) -> dict[str, tuple[Point, ...]]:
    """The faces that no neighbour hides, each as the screen positions of (origin, end of u, end of v)."""
    x, y = float(cell[0]), float(cell[1])
    corners: dict[str, tuple[Corner, Corner, Corner]] = {
        "side": ((x, y + 1, 0.0), (x, y + 1, 1.0), (x, y, 0.0)),
        "top": ((x, y + 1, 0.0), (x + 1, y + 1, 0.0), (x, y + 1, 1.0)),
        "front": ((x, y + 1, 1.0), (x + 1, y + 1, 1.0), (x, y, 1.0)),
    }
    hidden_by = {"side": (cell[0] - 1, cell[1]), "top": (cell[0], cell[1] + 1)}
    return {
        name: tuple(camera(corner) for corner in face)
        for name, face in corners.items()
        if hidden_by.get(name) not in occupied
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


def _draw_cube(draw: ImageDraw.ImageDraw, camera: _Camera, cell: Cell, blocks: Mapping[Cell, str], stray: bool) -> None:
    block = blocks[cell]
    colour, grain = colour_of(block), _grain(block)
    edge = (*_STRAY, 255) if stray else (*_lit(colour, 0.5), 190)
    thickness = max(1, round((0.09 if stray else 0.035) * camera.scale))
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


def _draw_ghost(draw: ImageDraw.ImageDraw, camera: _Camera, cell: Cell, occupied: set[Cell]) -> None:
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


def side_by_side(images: Sequence[Image.Image], titles: Sequence[str]) -> Image.Image:
    """Pictures beside each other, each with its title above it; raises ValueError if the counts differ."""
    if len(images) != len(titles) or not images:
        raise ValueError(f"{len(images)} pictures and {len(titles)} titles: give one title for every picture.")
    gap, head = 28, 58
    text = ImageFont.load_default(size=26)
    widths = [max(image.width, math.ceil(text.getlength(title))) for image, title in zip(images, titles, strict=True)]
    height = max(image.height for image in images)
    sheet = Image.new("RGB", (sum(widths) + gap * (len(images) + 1), height + head + gap), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    left = gap
    for image, title, width in zip(images, titles, widths, strict=True):
        draw.text((left + width / 2, head / 2 + 2), title, fill=(45, 52, 64), font=text, anchor="mm")
        corner = (left + (width - image.width) // 2, head + (height - image.height) // 2)
        sheet.paste(image.convert("RGB"), corner, mask=_rounded(image.size, 14))
        left += width + gap
    return sheet


def _rounded(size: tuple[int, int], radius: int) -> Image.Image:
    large = Image.new("L", (size[0] * 2, size[1] * 2))
    ImageDraw.Draw(large).rounded_rectangle((0, 0, large.width - 1, large.height - 1), 2 * radius, fill=255)
    return large.resize(size, Image.Resampling.LANCZOS)
