import itertools

import pytest

from collm.errors import ProblemError
from collm.tasks.minecraft.houses import (
    Design,
    Layers,
    generated_houses,
    named_house,
    released_houses,
    split_of,
)
from collm.tasks.protocol import SPLITS, Split

SIZES = ("small", "medium", "large")


def test_the_five_released_shapes() -> None:
    """Counts of white_concrete, obsidian, stone_stairs, stone_bricks, planks (TASKS 6.8)."""
    counts = {house.id: tuple(house.counts.values()) for house in released_houses()}
    assert counts == {
        "house_build_0002": (68, 12, 36, 54, 2),
        "house_build_0101": (68, 12, 12, 114, 2),
        "house_build_0104": (68, 12, 24, 42, 2),
        "house_build_0106": (68, 12, 54, 58, 2),
        "house_build_0108": (68, 12, 30, 38, 2),
    }
    assert {house.size for house in released_houses()} == {(6, 7, 7)}
    assert all(len(house.cells) == 294 for house in released_houses())
    assert all(split_of(house.layers) is None for house in released_houses())


def test_splits_are_disjoint_over_all_sizes_and_seeds_together() -> None:
    found: dict[Split, set[Layers]] = {split: set() for split in SPLITS}
    for split, size, seed in itertools.product(SPLITS, SIZES, range(3)):
        made = generated_houses(split, size, 60, seed)  # type: ignore[arg-type]
        assert len({house.layers for house in made}) == len({house.id for house in made}) == 60
        found[split].update(house.layers for house in made)
    for one, other in itertools.combinations(SPLITS, 2):
        assert not found[one] & found[other]


def test_seeds_change_the_houses_and_sizes_extend_them() -> None:
    assert generated_houses("train", "medium", 20, 0) != generated_houses("train", "medium", 20, 1)
    assert generated_houses("train", "medium", 40, 0)[:20] == generated_houses("train", "medium", 20, 0)


@pytest.mark.parametrize("size", SIZES)
def test_every_house_is_named_after_its_design_and_is_a_mirror_image_of_itself(size: str) -> None:
    for house in generated_houses("test", size, 40, 0):  # type: ignore[arg-type]
        assert named_house(house.id) == house
        assert all(row == row[::-1] for rows in house.layers for row in rows)
        assert house.counts["planks"] == 2
        assert (
            len({len(rows) for rows in house.layers}) == len({len(row) for rows in house.layers for row in rows}) == 1
        )


def test_a_design_in_full() -> None:
    house = Design(4, 3, 2, "gable", "CBSO_", eaves=True, windows=False)
    assert house.code == "4x3x2-gable-CBSO_-e"
    assert house.layers() == (
        ("AAAA", "CCCC", "CCCC", "CCCC", "AAAA"),
        ("AAAA", "BDDB", "BAAB", "BBBB", "AAAA"),
        ("AAAA", "BAAB", "BAAB", "BBBB", "AAAA"),
        ("OOOO", "SSSS", "SSSS", "SSSS", "OOOO"),
        ("AAAA", "OOOO", "SSSS", "OOOO", "AAAA"),
        ("AAAA", "AAAA", "SSSS", "AAAA", "AAAA"),
    )


def test_the_hip_roof_shrinks_on_all_sides_and_windows_are_open() -> None:
    layers = Design(6, 5, 3, "hip", "CBSOO", eaves=False, windows=True).layers()
    assert layers[2] == ("OBAABO", "BAAAAB", "AAAAAA", "BAAAAB", "OBBBBO")
    assert layers[4:] == (
        ("OOOOOO", "SSSSSS", "SSSSSS", "SSSSSS", "OOOOOO"),
        ("AAAAAA", "AOOOOA", "ASSSSA", "AOOOOA", "AAAAAA"),
        ("AAAAAA", "AAAAAA", "AASSAA", "AAAAAA", "AAAAAA"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cottage", "there is no house 'cottage'"),
        ("house_build_0102", "Known: house_build_0002"),
        ("4x5x2-flat-CBOX_", "there is no house"),
        ("5x5x2-flat-CBO__", "even width"),
        ("4x2x2-flat-CBO__", "depth of 3 to 9"),
        ("4x5x2-flat-CBOS_", "the flat one has none"),
        ("4x5x2-hip-CBO__", "has an edge"),
    ],
)
def test_houses_that_cannot_be_posed(text: str, message: str) -> None:
    with pytest.raises(ProblemError) as caught:
        named_house(text)
    assert message in str(caught.value)
