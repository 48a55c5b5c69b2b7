import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collm.tasks.minecraft import font
from collm.tasks.minecraft.blocks import PALETTES
from collm.tasks.minecraft.outcome import evaluate
from collm.tasks.minecraft.plan import assignment, command_budget, turn_budget
from collm.tasks.minecraft.world import Conduct, apply

WORDS = st.text(alphabet=font.LETTERS, min_size=1, max_size=7)


@settings(max_examples=200, deadline=None)
@given(WORDS, st.integers(1, 4))
def test_the_plan_is_optimal_in_both_profiles_and_fits_the_budget(word: str, roles: int) -> None:
    cells, palettes = font.cells(word), PALETTES[:roles]
    chunks = assignment(cells, palettes)
    world, placed, overlaps = apply({}, [(role, c) for role, chunk in enumerate(chunks) for c in chunk])
    conduct = Conduct(placed, 0, placed, overlaps)
    parts = evaluate(world, conduct, frozenset(cells), font.width(word), palettes)
    assert parts["paper"] == parts["hardened"] == 2.0
    assert max(map(len, chunks)) <= command_budget(len(cells), roles)
    assert max(map(len, chunks)) - min(map(len, chunks)) <= 1
    for palette, chunk in zip(palettes, chunks, strict=True):
        assert {command.block for command in chunk} == set(palette)


@pytest.mark.parametrize("letter", font.LETTERS)
@pytest.mark.parametrize("roles", [2, 3, 4])
def test_no_agent_can_finish_alone(letter: str, roles: int) -> None:
    cells = len(font.cells(letter))
    assert command_budget(cells, roles) < cells <= roles * command_budget(cells, roles)


def test_budgets_worked_by_hand() -> None:
    assert command_budget(46, 2) == 28  # 27.6
    assert command_budget(46, 1) == 56  # 55.2
    assert turn_budget(28, 1) == 28
    assert turn_budget(28, 4) == 8
    assert turn_budget(27, 4) == 8


@given(st.integers(1, 500), st.integers(1, 8))
def test_the_turns_together_allow_the_whole_budget(total: int, turns: int) -> None:
    assert turn_budget(total, turns) * turns >= total
    assert turn_budget(total, turns) <= math.ceil(total / turns) + 1
