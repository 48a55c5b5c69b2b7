"""The rewards level by level, worked out by hand (TASKS 0, 4.2): which gates stop, what each part is worth."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collm.tasks.coding.outcome import Outcome

SOLVED = Outcome(
    aux_defined=True,
    aux_returns=True,
    main_defined=True,
    main_returns=True,
    parses=True,
    calls_aux=True,
    passed=4,
    total=4,
)

PAPER = {
    # .4 + .6 + .5 + 1 + .5 + 1
    "everything": ({}, 4.0),
    "nothing": ({field.name: field.default for field in dataclasses.fields(Outcome)}, 0.0),
    "only a helper": (
        {"main_defined": False, "main_returns": False, "parses": False, "calls_aux": False, "passed": 0},
        0.4,
    ),
    "a helper without return, no main": (
        {"aux_returns": False, "main_defined": False, "main_returns": False, "parses": False, "passed": 0},
        0.0,
    ),
    "no helper, main passes": ({"aux_defined": False, "aux_returns": False, "calls_aux": False}, 2.1),
    "no helper, main calls it and one test passes": ({"aux_defined": False, "aux_returns": False, "passed": 1}, 1.35),
    "a syntax error": ({"parses": False, "passed": 0}, 1.0),
    "no test passes: no cooperation": ({"passed": 0}, 1.5),
    "one of four tests: full cooperation": ({"passed": 1}, 3.25),
    "three of four tests": ({"passed": 3}, 3.75),
    "helper not called": ({"calls_aux": False}, 2.5),
    "thin wrapper": ({"thin": True}, 3.0),
    "helper without return, still used": ({"aux_returns": False}, 3.6),
    "main without return, passes": ({"main_returns": False}, 3.4),
    "ignored result: the released penalty never fires": ({"ignores_aux": True}, 4.0),
}


@pytest.mark.parametrize("name", PAPER)
def test_paper(name: str) -> None:
    changes, value = PAPER[name]
    assert dataclasses.replace(SOLVED, **changes).paper == pytest.approx(value)


HARDENED = {
    "both halves needed": ({}, 4.0),
    "helper not needed": ({"passed_without_helper": 4}, 2.5),
    "main not needed": ({"passed_by_helper": 4}, 2.5),
    "each needed for half": ({"passed_without_helper": 2, "passed_by_helper": 2}, 3.25),
    "the smaller need counts": ({"passed_without_helper": 1, "passed_by_helper": 3}, 2.875),
    "half the tests, all of them together": ({"passed": 2}, 2.75),
    "the stub passes more": ({"passed": 2, "passed_without_helper": 4}, 2.0),
    "a thin wrapper": ({"thin": True}, 2.5),
    "a call that means something else": ({"calls_aux": False}, 2.5),
    "no helper": ({"aux_defined": False, "aux_returns": False}, 2.1),
    "no test passes": ({"passed": 0}, 1.5),
    "a syntax error": ({"parses": False, "passed": 0}, 1.0),
}


@pytest.mark.parametrize("name", HARDENED)
def test_hardened(name: str) -> None:
    changes, value = HARDENED[name]
    assert dataclasses.replace(SOLVED, **changes).hardened == pytest.approx(value)


def test_the_parts_add_up_and_carry_their_released_names() -> None:
    parts = dataclasses.replace(SOLVED, passed=3, public_passed=1, public_total=2, timeouts=1).components()
    assert parts["definition_reward"] == 1.0
    assert parts["syntax_reward"] == 0.5
    assert parts["execution_reward"] == parts["test_pass_rate"] == 0.75
    assert (parts["tests_passed"], parts["tests_total"]) == (3, 4)
    assert parts["collab_aux_usage"] + parts["collab_non_wrapper"] == parts["bonus_reward"] == 1.5
    levels = ("definition_reward", "syntax_reward", "execution_reward", "bonus_reward")
    assert sum(parts[name] for name in levels) == parts["paper"] == parts["gated_total_reward"]
    assert parts["public_pass_rate"] == 0.5
    assert parts["timeouts"] == 1
    assert parts["all_tests_passed"] == 0


def test_the_ungated_total_counts_cooperation_without_a_passed_test() -> None:
    parts = dataclasses.replace(SOLVED, passed=0).components()
    assert parts["gated_total_reward"] == 1.5
    assert parts["total_reward"] == 3.0


def test_an_ignored_call_is_logged_and_not_priced() -> None:
    ignoring = dataclasses.replace(SOLVED, ignores_aux=True)
    assert ignoring.components()["collab_ignored_aux_call_penalty"] == -0.5
    assert ignoring.paper == SOLVED.paper


COUNTS = st.integers(0, 5)
OUTCOMES = st.builds(
    lambda flags, counts: dataclasses.replace(
        SOLVED,
        **dict(zip(("aux_returns", "main_returns", "parses", "calls_aux", "thin", "ignores_aux"), flags, strict=True)),
        **dict(zip(("passed", "passed_without_helper", "passed_by_helper"), counts, strict=True)),
        total=5,
    ),
    st.tuples(*(st.booleans() for _ in range(6))),
    st.tuples(COUNTS, COUNTS, COUNTS),
)


@given(OUTCOMES)
def test_rewards_stay_in_their_range_and_more_tests_are_worth_more(found: Outcome) -> None:
    for profile in ("paper", "hardened"):
        assert 0 <= found.reward(profile) <= 4
        if found.passed < found.total:
            assert dataclasses.replace(found, passed=found.passed + 1).reward(profile) >= found.reward(profile)


@given(OUTCOMES, COUNTS)
def test_a_half_that_does_more_alone_is_worth_less(found: Outcome, more: int) -> None:
    for half in ("passed_without_helper", "passed_by_helper"):
        alone = dataclasses.replace(found, **{half: max(more, getattr(found, half))})
        assert alone.hardened <= found.hardened
        assert alone.paper == found.paper
