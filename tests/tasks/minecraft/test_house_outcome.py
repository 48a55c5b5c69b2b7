import pytest

from collm.tasks.minecraft.house_outcome import Threat, evaluate
from collm.tasks.minecraft.houses import HouseProblem, released_houses
from collm.tasks.minecraft.world import Conduct, Placed, idleness

# Two layers of 3 × 2 cells: 4 concrete, 1 obsidian, 1 planks, 6 air.
TOY = HouseProblem("toy", (("CCO", "CCD"), ("AAA", "AAA")))
SAFE = Threat((), 5, 5)
DEADLY = Threat((3, 1, 2), 5, 5)


def value(world: dict, conduct: Conduct = Conduct(), threat: Threat = SAFE, roles: int = 2) -> dict[str, float]:  # noqa: B008
    return evaluate(TOY, world, conduct, threat, roles)


def perfect(split: int = 3) -> dict:
    return {cell: Placed(block, int(i >= split)) for i, (cell, block) in enumerate(TOY.target.items())}


@pytest.mark.parametrize("house", released_houses(), ids=lambda house: house.id)
def test_doing_nothing_matches_the_share_of_air(house: HouseProblem) -> None:
    air = 294 - len(house.target)
    parts = evaluate(house, {}, Conduct(), SAFE, 2)
    assert parts["match"] == parts["paper"] == air / 294
    assert parts["typed_iou"] == parts["iou"] == parts["hardened"] == 0.0
    # As run with the released code: 0.293–0.497 (TASKS 6.5).
    assert 0.2925 <= parts["match"] <= 0.4966


def test_parts_of_a_world_worked_by_hand() -> None:
    world = {
        (0, 0, 0): Placed("white_concrete", 0),
        (1, 0, 0): Placed("obsidian", 0),  # wrong block
        (2, 0, 1): Placed("planks", 1),
        (0, 1, 0): Placed("planks", 1),  # where air belongs
    }
    parts = value(world)
    # Right: 2 of 6 solid cells and 5 of 6 air cells; the union has 7 cells, 3 are in both, 2 of them right.
    assert parts["match"] == pytest.approx(7 / 12)
    assert parts["typed_iou"] == pytest.approx(2 / 7)
    assert parts["iou"] == pytest.approx(3 / 7)
    assert parts["idle"] == 0.0
    assert parts["paper"] == pytest.approx(7 / 12)
    assert parts["hardened"] == pytest.approx(2 / 7)


def test_the_perfect_world_is_worth_one_in_both_profiles() -> None:
    parts = value(perfect())
    assert parts["paper"] == parts["hardened"] == parts["match"] == parts["iou"] == 1.0


@pytest.mark.parametrize(
    ("attacks", "hp", "penalty"),
    [
        ((1, 1, 1), 5, 0.06),
        ((1, 1, 2), 5, 0.08),
        ((1, 2, 2), 5, 0.1),
        ((3, 3, 3), 5, 0.1),
        ((1,), 10, 0.01),
        ((), 5, 0),
    ],
)
def test_released_penalty_of_spiders_that_nobody_kills(attacks: tuple[int, ...], hp: int, penalty: float) -> None:
    threat = Threat(attacks, hp, hp)
    assert threat.released_penalty == pytest.approx(penalty, abs=1e-12)
    assert threat.after_turn(kill=True).released_penalty == 0.0
    assert value(perfect(), threat=threat)["paper"] == pytest.approx(1 - penalty, abs=1e-12)
    # The hardened term counts what has been lost, and before the first turn that is nothing.
    assert value(perfect(), threat=threat)["hardened"] == 1.0


def test_hit_points_are_carried_over_turns_until_the_spiders_are_dead() -> None:
    threat = Threat((2, 1), 10, 10)
    states = [threat]
    for kill in (False, False, True, False):
        states.append(states[-1].after_turn(kill))
    assert [state.hp for state in states] == [10, 7, 4, 4, 4]
    assert [state.killed for state in states] == [False, False, False, True, True]
    assert states[-1].carried_penalty == pytest.approx(0.06)
    assert DEADLY.after_turn(False).after_turn(False).hp == 0
    assert DEADLY.after_turn(False).carried_penalty == pytest.approx(0.1)


def test_hardened_terms_worked_by_hand() -> None:
    # Role 0 holds 1 of 6 right cells, an equal share is 3; 1 of 4 solid commands overlaps; 3 of 12 lines are invalid.
    parts = value(perfect(1), Conduct(lines=12, rejected=3, placed=4, overlaps=1), Threat((1, 1), 5, 3))
    assert parts["idle"] == pytest.approx(2 / 3)
    expected = 1 - 0.1 * (2 / 5) - 0.1 * (1 / 4) - 0.1 * (3 / 12) - 0.25 * (2 / 3)
    assert parts["hardened"] == pytest.approx(expected, abs=1e-12)
    assert parts["hp"] == 3.0
    assert parts["valid"] == 0.75


def test_idleness_edges() -> None:
    assert idleness([0, 0]) == 0.0
    assert idleness([5, 0]) == idleness([1, 0]) == 1.0
    assert idleness([3, 4]) == 0.0
    assert idleness([2, 4]) == pytest.approx(1 / 3)
    assert idleness([7]) == 0.0


def test_only_right_cells_count_as_work() -> None:
    world = {cell: Placed("obsidian", 1) for cell in TOY.target}
    assert value(world)["idle"] == 1.0
    assert value({cell: Placed("planks", 0) for cell in [(0, 0, 0)]})["idle"] == 0.0
