import pytest

from collm.tasks.minecraft import font
from collm.tasks.minecraft.blocks import PALETTES
from collm.tasks.minecraft.commands import Command
from collm.tasks.minecraft.outcome import adjacency, evaluate
from collm.tasks.minecraft.words import released_words
from collm.tasks.minecraft.world import Conduct, Placed, apply

PAIR = PALETTES[:2]
CHECKER = ("oak_planks", "white_concrete", "stone", "obsidian")


def value(word: str, world: dict, conduct: Conduct = Conduct()) -> dict[str, float]:  # noqa: B008
    return evaluate(world, conduct, frozenset(font.cells(word)), font.width(word), PAIR)


def box(word: str) -> list[font.Cell]:
    return [(x, y) for x in range(font.width(word)) for y in range(font.HEIGHT)]


def alternating(cells: list[font.Cell] | tuple[font.Cell, ...]) -> dict[font.Cell, Placed]:
    """Side-sharing cells differ: the four blocks follow x + 2y modulo 4."""
    kinds = [(x + 2 * y) % 4 for x, y in cells]
    return {cell: Placed(CHECKER[kind], kind % 2) for cell, kind in zip(cells, kinds, strict=True)}


def stone(cells: list[font.Cell] | tuple[font.Cell, ...]) -> dict[font.Cell, Placed]:
    return {cell: Placed("stone", 0) for cell in cells}


@pytest.mark.parametrize("word", released_words())
def test_released_reward_of_five_worlds_worked_by_hand(word: str) -> None:
    """R = 2·coverage − 1.5·extra − adjacency − 0.25·missing palettes, for all ten released strings."""
    assert value(word, {})["paper"] == -0.5
    assert value(word, stone(box(word)))["paper"] == 2 - 1.5 - 1 - 0.5 == -1.0
    assert value(word, alternating(box(word)))["paper"] == 2 - 1.5 == 0.5
    assert value(word, stone(font.cells(word)))["paper"] == 2 - 1 - 0.5 == 0.5
    assert value(word, alternating(font.cells(word)))["paper"] == 2.0


def test_lowest_value_is_minus_three() -> None:
    """Only background, in one texture: coverage 0, extra 1, adjacency 1, both palettes missing."""
    background = [cell for cell in box("I") if cell not in font.cells("I")]
    assert value("I", stone(background))["paper"] == -1.5 - 1 - 0.5 == -3.0


def test_components_of_a_partial_world() -> None:
    # C has 11 cells and 14 background cells; its top row is (1..4, 4).
    world = {(1, 4): Placed("stone", 0), (2, 4): Placed("stone", 0), (3, 4): Placed("oak_planks", 0)}
    world[0, 0] = Placed("obsidian", 1)
    parts = value("C", world)
    assert parts["coverage"] == 3 / 11
    assert parts["extra"] == 1 / 14
    assert parts["adjacency"] == 1 / 2
    assert parts["missing_palettes"] == 1
    assert parts["iou"] == 3 / 12
    assert parts["paper"] == pytest.approx(6 / 11 - 1.5 / 14 - 0.5 - 0.25, abs=1e-12)


def test_adjacency_counts_textures_not_blocks_and_each_pair_once() -> None:
    square = {(0, 0): "stone", (1, 0): "cobblestone", (0, 1): "oak_planks", (1, 1): "birch_planks"}
    world = {cell: Placed(block, 0) for cell, block in square.items()}
    assert adjacency(world) == 2 / 4
    assert adjacency({(0, 0): Placed("stone", 0), (1, 1): Placed("stone", 0)}) == 0.0


def test_hardened_terms_worked_by_hand() -> None:
    # 12 of I's 13 cells: role 0 holds 4, role 1 holds 8, so the idle term is 1 − 4/6.
    cells = font.cells("I")[:12]
    world = {cell: Placed("stone", 0) for cell in cells[:4]} | {cell: Placed("obsidian", 1) for cell in cells[4:]}
    parts = value("I", world, Conduct(lines=10, rejected=2, placed=8, overlaps=2))
    assert parts["overlap"] == 0.25
    assert parts["valid"] == 0.8
    assert parts["idle"] == pytest.approx(1 / 3, abs=1e-12)
    difference = parts["paper"] - parts["hardened"]
    assert difference == pytest.approx(0.5 * 0.25 + 0.25 * 0.2 + 0.5 / 3, abs=1e-12)


@pytest.mark.parametrize(("first", "idle"), [(0, 1.0), (3, 0.5), (6, 0.0), (7, 0.0), (10, 0.5)])
def test_idle_is_one_minus_the_least_share_of_an_equal_split(first: int, idle: float) -> None:
    """I has 13 cells: 6 are an equal share, as 13 cannot be split in two."""
    world = {cell: Placed("stone", 0 if i < first else 1) for i, cell in enumerate(font.cells("I"))}
    assert value("I", world)["idle"] == idle


def test_a_lone_block_is_idleness_of_the_partner() -> None:
    assert value("I", {font.cells("I")[0]: Placed("stone", 0)})["idle"] == 1.0


def test_later_roles_overwrite_and_only_solid_overwriting_is_overlap() -> None:
    moves = [
        (0, Command((0, 0), "stone")),
        (0, Command((0, 0), "oak_planks")),
        (0, Command((1, 0), "stone")),
        (1, Command((0, 0), "obsidian")),
        (1, Command((1, 0), "air")),
        (1, Command((2, 0), "obsidian")),
    ]
    world, placed, overlaps = apply({(2, 0): Placed("stone", 0)}, moves)
    assert world == {(0, 0): Placed("obsidian", 1), (2, 0): Placed("obsidian", 1)}
    # (2, 0) was the partner's too, but from an earlier turn.
    assert (placed, overlaps) == (5, 1)


def test_apply_leaves_its_world_alone() -> None:
    world = {(0, 0): Placed("stone", 0)}
    apply(world, [(0, Command((0, 0), "air"))])
    assert world == {(0, 0): Placed("stone", 0)}


def test_clearing_a_partners_cell_first_does_not_make_it_ones_own() -> None:
    cell = (0, 0)
    moves = [(0, Command(cell, "stone")), (1, Command(cell, "air")), (1, Command(cell, "obsidian"))]
    world, placed, overlaps = apply({}, moves)
    assert world == {cell: Placed("obsidian", 1)}
    assert (placed, overlaps) == (2, 1)
    # In a later turn nobody has set anything yet, and mending one's own work is free.
    assert apply(world, moves[1:])[2] == 0
