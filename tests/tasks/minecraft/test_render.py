import re

import pytest
from PIL import Image

from collm.tasks.minecraft.blocks import COLOURS
from collm.tasks.minecraft.render import colour_of, coloured_text, isometric, side_by_side


def plain(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).split("\n")


def test_text_shows_missing_placed_and_stray_cells_two_characters_wide() -> None:
    # L is the left column and the bottom row.
    text = coloured_text("L", {(0, 4): "stone", (2, 0): "obsidian", (4, 4): "stone"})
    assert plain(text) == [
        "      " + "  ××",
        "··        ",
        "··        ",
        "··        ",
        "····  ····",
    ]
    top, bottom = text.split("\n")[0], text.split("\n")[-1]
    assert top.startswith("\x1b[48;2;127;127;127m  \x1b[0m")
    assert "\x1b[48;2;43;33;62m  \x1b[0m" in bottom
    assert bottom.startswith("\x1b[2m··\x1b[0m")


def test_every_row_of_text_is_as_wide_as_the_box() -> None:
    rows = plain(coloured_text("ICML", {}))
    assert [len(row) for row in rows] == [2 * 26] * 5
    assert sum(row.count("··") for row in rows) == 46


def test_pictures_are_deterministic_and_of_one_size_per_word() -> None:
    world = {(0, 4): "stone", (1, 1): "lava"}
    first, again, empty = (
        isometric("L", world),
        isometric("L", dict(reversed(world.items()))),
        isometric("L", {}),
    )
    assert first.tobytes() == again.tobytes()
    assert first.size == empty.size
    assert first.tobytes() != empty.tobytes()


def reddish(image: Image.Image) -> int:
    """The number of clearly red pixels; without red wool and stray blocks there are none."""
    colours = image.getcolors(image.width * image.height) or []
    return sum(count for count, (r, g, b) in colours if r > 2 * max(g, b))


def test_a_block_has_its_colour_and_a_stray_one_red_edges() -> None:
    assert reddish(isometric("L", {})) == reddish(isometric("L", {(0, 2): "stone"})) == 0
    assert reddish(isometric("L", {(0, 2): "red_wool"})) > 1000
    assert reddish(isometric("L", {(2, 2): "stone"})) > 100


def test_near_cubes_are_painted_over_far_ones() -> None:
    """(0, 0) stands before (1, 0) and hides its left side, whichever comes first in the mapping."""
    near, far = {(0, 0): "red_wool"}, {(1, 0): "red_wool"}
    alone = reddish(isometric("L", near))
    assert reddish(isometric("L", {(1, 0): "stone"} | near)) > 0.97 * alone
    assert reddish(isometric("L", far | {(0, 0): "stone"})) < 0.9 * alone


def test_unknown_blocks_have_a_stable_colour_of_their_own() -> None:
    assert colour_of("stone") == COLOURS["stone"]
    assert colour_of("lava") == colour_of("lava") != colour_of("water")
    assert all(0 <= channel <= 255 for channel in colour_of("lava"))


def test_side_by_side_holds_all_pictures_and_their_titles() -> None:
    small, large = Image.new("RGB", (90, 80), (255, 0, 0)), Image.new("RGB", (200, 100), (0, 0, 255))
    sheet = side_by_side([small, large], ["a title wider than its picture", "b"])
    colours = {colour: count for count, colour in sheet.getcolors(sheet.width * sheet.height)}
    # Only the rounded corners are missing.
    assert 0.9 * 90 * 80 < colours[255, 0, 0] <= 90 * 80
    assert 0.9 * 200 * 100 < colours[0, 0, 255] <= 200 * 100
    assert sheet.width > 90 + 200 + 50
    with pytest.raises(ValueError, match="2 pictures and 1 titles"):
        side_by_side([small, large], ["one"])
