"""The hardened reward against texts that want to be paid for nothing."""

from __future__ import annotations

import functools

import pytest

from collm.tasks import make_task
from collm.tasks.writing.scoring import MAXIMUM
from collm.tasks.writing.task import Written
from tests.tasks.writing import gaming, sources

CEILINGS = {"nonsense": 10.0, "repeated": 10.0, "copied": 45.0}
LENGTHS = {
    ("tldr", "mini"): (20, 50),
    ("tldr", "long"): (70, 190),
    ("arxiv", "mini"): (135, 190),
    ("arxiv", "long"): (135, 190),
}


@functools.cache
def problems(name: str, kind: str):
    task = make_task(name)
    if kind == "mini":
        return task, task.problems("test")[:20]
    return task, [task.problem(text) for text in {"tldr": sources.POSTS, "arxiv": sources.ABSTRACTS}[name]]


def cases():
    for (name, kind), lengths in LENGTHS.items():
        for family in CEILINGS:
            for strategy in getattr(gaming, family)(lengths):
                yield name, kind, family, strategy


@pytest.mark.parametrize(("name", "kind", "family", "strategy"), list(cases()))
def test_no_strategy_is_paid_above_its_ceiling(name: str, kind: str, family: str, strategy: str) -> None:
    task, posed = problems(name, kind)
    write = getattr(gaming, family)(LENGTHS[name, kind])[strategy]
    highest = max(task.components(p, Written(1, write(p.text)))["hardened"] for p in posed)
    assert 100 * highest / MAXIMUM <= CEILINGS[family]


@pytest.mark.parametrize("name", ["tldr", "arxiv"])
def test_the_paper_reward_pays_nonsense(name: str) -> None:
    """Why there is a hardened profile."""
    task, posed = problems(name, "mini")
    write = gaming.nonsense(LENGTHS[name, "mini"])["English words"]
    scores = [task.components(p, Written(1, write(p.text))) for p in posed]
    assert min(numbers["paper"] for numbers in scores) > 0.8 * MAXIMUM
    assert max(numbers["hardened"] for numbers in scores) < 0.1 * MAXIMUM


@pytest.mark.parametrize("name", ["tldr", "arxiv"])
def test_the_best_texts_use_words_of_their_own_and_repeat_nothing(name: str) -> None:
    task, posed = problems(name, "mini")
    for problem in posed:
        numbers = task.components(problem, Written(1, tuple(task.best_plan(problem)[0])))
        assert numbers["own_words"] > 0.1
        assert numbers["repetition"] == numbers["unknown"] == 0
