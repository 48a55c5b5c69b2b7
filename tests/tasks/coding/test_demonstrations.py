"""The crowd: competent at the language, badly coordinated, with habits among which good ones fit together."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from collm import make_task
from collm.randomness import generator
from collm.tasks.coding import mini
from collm.tasks.coding.coop_he import CoopHe
from collm.tasks.coding.demonstrations import Habits, begin, draw_habits, reconsidered, stream, write
from collm.tasks.coding.extraction import extract

TRAIN = mini.chosen("train", 10_000, 0)
BEST = Habits(helper="item", main="steps", way="item", swapped=False, flaw="none", slip=0, dress="")
TASK = CoopHe()


def rewards(pairs: list[tuple[str, Habits, Habits]]) -> np.ndarray:
    """(pairs, 2): the scores, paper and hardened, of two programmers on one problem."""
    trials = []
    for id, helper, main in pairs:
        one = mini.compositions()[id]
        trials.append((mini.posed(id, 1), (write(one, helper, "aux"), write(one, main, "main"))))
    outcomes = TASK._judge.outcomes(trials)
    return np.array([(100 * each.paper / 4, 100 * each.hardened / 4) for each in outcomes])


def test_independent_programmers_are_a_bad_team() -> None:
    """Between 25 and 45 on average in both profiles, and perfect now and then: something to find, and to reinforce."""
    random = generator("crowd", 1)
    ids = list(itertools.islice(itertools.cycle(TRAIN[::3]), 300))
    found = rewards([(id, draw_habits(random), draw_habits(random)) for id in ids])
    assert (found.mean(axis=0) > 25).all()
    assert (found.mean(axis=0) < 45).all()
    assert ((found > 95).mean(axis=0) > 0.03).all()


@pytest.mark.parametrize(("way", "swapped"), [("item", False), ("item", True), ("list", False)])
def test_consistent_habits_are_a_perfect_team(way: str, swapped: bool) -> None:
    """Also those that a programmer alone has no reason to prefer."""
    habits = dataclasses.replace(BEST, helper=way, way=way, swapped=swapped)  # type: ignore[arg-type]
    assert rewards([(id, habits, habits) for id in TRAIN[::20]]).min() == 100


def test_habits_that_do_not_fit_or_do_not_help() -> None:
    others = {
        "main": {"line": 75, "alone": 62.5, "wrapper": 37.5},
        "flaw": {"broken": 25, "no function": 10, "other name": 10},
        "way": {"list": 37.5},
    }
    id = "keep-even-total"
    for field, values in others.items():
        for value, score in values.items():
            changed = dataclasses.replace(BEST, **{field: value})
            assert rewards([(id, BEST, changed)])[0, 0] == score, (field, value)


def test_what_a_programmer_writes_is_read_back() -> None:
    random = generator("crowd", 2)
    for id in TRAIN[::10]:
        one = mini.compositions()[id]
        habits = dataclasses.replace(draw_habits(random), flaw="none", dress="fence")
        assert extract(write(one, habits, "aux")).function("aux") is not None
        assert extract(write(one, habits, "main")).function(one.finish.name) is not None


def test_feedback_is_answered() -> None:
    """A missing function comes, a failed test changes ways, a solved problem ends the episode."""
    random = generator("crowd", 3)
    problem = mini.posed("keep-even-total", 1)
    one = mini.compositions()[problem.id]
    silent = dataclasses.replace(BEST, flaw="no function")
    (found,) = TASK.diagnose([(problem, (write(one, silent, "aux"), write(one, BEST, "main")))])
    mended = [reconsidered(silent, found, "aux", random).flaw == "none" for _ in range(200)]
    assert 0.6 < np.mean(mended) < 0.8
    assert reconsidered(BEST, found, "main", random) is not None


def test_the_stream_has_every_form_and_only_training_problems() -> None:
    conversations = list(itertools.islice(stream(generator("crowd", 4)), 700))
    openings = [conversation[0][0][1].content for conversation in conversations]
    assert sum("Write a helper function" in text for text in openings) > 250
    assert sum("Solve this problem:" in text for text in openings) > 250
    assert sum("with two functions" in text for text in openings) > 5
    later = [conversation[1][0][0].content for conversation in conversations if len(conversation) > 1]
    assert len(later) > 60
    assert any("Public tests" in text for text in later)
    prompts = {mini.posed(id, 1).prompt for id in TRAIN}
    posed = {text.partition(":\n")[2].partition('    """\n')[0] + '    """' for text in openings}
    assert len(posed) > 150
    assert posed <= prompts


def test_the_stream_is_a_function_of_its_key() -> None:
    first, second = (list(itertools.islice(stream(generator("crowd", 5)), 120)) for _ in range(2))
    assert first == second


def test_an_episode_of_the_crowd_is_one_of_the_task() -> None:
    task = make_task("coop-he", turns=1)
    assert isinstance(task, CoopHe)
    episode = begin(task, mini.posed(TRAIN[0], 1), generator("crowd", 6))
    assert len(episode.said) == 2
    assert episode.conversations[0][0][0] == task.reset(episode.problem).observations[0]
