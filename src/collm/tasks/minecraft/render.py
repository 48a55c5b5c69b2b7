"""Pictures of a StrBuild word: coloured text for the terminal, and an isometric drawing to show around."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from collm.tasks.minecraft import font
from collm.tasks.minecraft.font import HEIGHT, Cell
from collm.tasks.minecraft.scene import Scene, colour_of

_RESET = "\x1b[0m"
MISSING = f"\x1b[2m··{_RESET}"
"""A target cell without a block."""
_MARGINS = (1.6, 2.6, 2.0)
"""The plate around the wall: to the sides, behind it and before it (in cells)."""


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
        return MISSING if cell in target else "  "
    return patch(block, stray=cell not in target)


def patch(block: str, stray: bool) -> str:
    """Two characters in a block's colour, with ``××`` in them if it does not belong there."""
    red, green, blue = colour_of(block)
    colour = f"\x1b[48;2;{red};{green};{blue}m"
    if not stray:
        return f"{colour}  {_RESET}"
    ink = 30 if red + green + blue > 380 else 97
    return f"{colour}\x1b[1;{ink}m××{_RESET}"


def isometric(word: str, blocks: Mapping[Cell, str]) -> Image.Image:
    """The build as a wall of cubes on a plate, in parallel projection; long walls are seen more from the front.

    Missing target cells are translucent ghosts, blocks off the target have red edges. The size depends on the
    word alone, so that pictures of one word can be laid beside each other.
    """
    width = font.width(word)
    scene = Scene((width, HEIGHT, 1), max(12.0, 36.0 - 0.55 * width), _MARGINS)
    target = dict.fromkeys(((x, y, 0) for x, y in font.cells(word)), None)
    return scene.draw({(x, y, 0): block for (x, y), block in blocks.items()}, target)


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
