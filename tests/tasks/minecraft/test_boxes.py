from hypothesis import given, settings
from hypothesis import strategies as st

from collm.tasks.minecraft.boxes import Box, Cell, boxes, rectangles
from collm.tasks.minecraft.houses import released_houses

CELLS = st.tuples(*[st.integers(0, 3)] * 3)


def test_a_box_knows_its_cells_and_volume() -> None:
    box = Box((1, 0, 2), (2, 1, 2), "stone")
    assert list(box.cells) == [(1, 0, 2), (2, 0, 2), (1, 1, 2), (2, 1, 2)]
    assert box.volume == 4
    assert str(box) == "1 0 2 2 1 2 stone"


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(CELLS, st.sampled_from(["stone", "planks"]), max_size=40))
def test_boxes_and_rectangles_cover_exactly_the_cells_once(blocks: dict[Cell, str]) -> None:
    for found in (boxes(blocks), rectangles(blocks)):
        pairs = [(cell, box.block) for box in found for cell in box.cells]
        assert len(pairs) == len(blocks)
        assert dict(pairs) == blocks
    assert all(box.low[1] == box.high[1] for box in rectangles(blocks))


def test_a_full_box_is_one_box_and_one_rectangle_per_layer() -> None:
    full = dict.fromkeys(Box((0, 0, 0), (3, 2, 4), "stone").cells, "stone")
    assert boxes(full) == [Box((0, 0, 0), (3, 2, 4), "stone")]
    assert len(rectangles(full)) == 3


def test_released_houses_have_33_to_39_rectangles() -> None:
    """As run with the released code (TASKS 6.1)."""
    counts = [len(rectangles(house.target)) for house in released_houses()]
    assert (min(counts), max(counts)) == (33, 39)
    assert all(len(boxes(house.target)) < count for house, count in zip(released_houses(), counts, strict=True))
