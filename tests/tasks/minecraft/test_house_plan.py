import math

import pytest

from collm.tasks.minecraft.house_plan import limits, pieces, shares
from collm.tasks.minecraft.houses import generated_houses, named_house, released_houses


@pytest.mark.parametrize(
    ("house", "bricks", "stairs"),
    [
        ("house_build_0002", 40, 27),
        ("house_build_0101", 85, 9),
        ("house_build_0104", 31, 18),
        ("house_build_0106", 43, 40),
        ("house_build_0108", 28, 22),
    ],
)
def test_released_limits_of_two_agents(house: str, bricks: int, stairs: int) -> None:
    """As run with the released code (TASKS 6.2)."""
    found = limits(named_house(house).counts, 2, 1.5)
    assert found == {
        "white_concrete": 51,
        "obsidian": 9,
        "stone_stairs": stairs,
        "stone_bricks": bricks,
        "planks": 1,
    }


def test_limits_worked_by_hand() -> None:
    assert limits({"a": 7, "b": 1, "c": 12}, 3, 1.5) == {"a": 3 + 1, "b": 1, "c": 4 + 2}
    assert limits({"a": 7, "b": 1, "c": 12}, 3, 1.0) == {"a": 3, "b": 1, "c": 4}
    assert limits({"a": 10}, 2, 1.2) == {"a": 6}
    assert limits({"a": 7}, 1, 1.5) == {"a": 10}


HOUSES = [
    *released_houses(),
    *(house for size in ("small", "medium", "large") for house in generated_houses("test", size, 25, 0)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("roles", [1, 2, 3, 4])
def test_shares_are_a_partition_in_equal_parts_of_every_block(roles: int) -> None:
    for house in HOUSES:
        parts = shares(house, roles)
        pairs = [(cell, box.block) for part in parts for box in part for cell in box.cells]
        assert len(pairs) == len(house.target)
        assert dict(pairs) == house.target
        sizes = [sum(box.volume for box in part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        for block, count in house.counts.items():
            own = [sum(box.volume for box in part if box.block == block) for part in parts]
            assert max(own) <= math.ceil(count / roles)
        assert sorted(map(str, pieces(house, roles))) == sorted(str(box) for part in parts for box in part)


def test_a_small_house_takes_two_agents_at_most_eight_lines_each() -> None:
    for house in generated_houses("train", "small", 400, 0):
        first, second = shares(house, 2)
        assert max(len(first) + 1, len(second)) <= 8
