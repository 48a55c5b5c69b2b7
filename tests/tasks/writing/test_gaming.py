"""The hardened reward against texts that want to be paid for nothing."""

from __future__ import annotations

import dataclasses
import functools

import pytest

from collm.randomness import generator
from collm.tasks import make_task
from collm.tasks.writing import demonstrations, thread
from collm.tasks.writing.scoring import MAXIMUM, ORDER, WRITTEN
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


@pytest.mark.parametrize(
    ("post", "texts"), list(zip(sources.POSTS, sources.SUMMARIES, strict=True)), ids=["one", "two"]
)
def test_honest_summaries_keep_what_they_earn(post: str, texts: tuple[str, str]) -> None:
    task = make_task("tldr")
    numbers = task.components(task.problem(post), Written(1, texts))
    assert numbers["paper"] > 0.9 * MAXIMUM
    assert numbers["hardened"] >= 0.7 * numbers["paper"]
    assert numbers["copied"] < 0.1
    assert numbers["ordered"] > 0.55


@pytest.mark.parametrize("name", ["tldr", "arxiv"])
def test_what_the_crowd_says_about_a_source_is_neither_copy_nor_salad(name: str) -> None:
    """Grounded texts of every length and style; the shortest about posts may be one long phrase."""
    task, random = make_task(name), generator("crowd")
    write, lengths = {
        "tldr": (demonstrations.about_post, demonstrations.POST_LENGTHS),
        "arxiv": (demonstrations.about_abstract, demonstrations.ABSTRACT_LENGTHS),
    }[name]
    touched = []
    for problem in task.problems("train"):
        habits = [dataclasses.replace(demonstrations.draw_habits(random, each), content="grounded") for each in lengths]
        texts = tuple(write(problem.facts, agent, habit, random) for agent, habit in enumerate(habits))
        numbers = task.components(problem, Written(1, texts))
        touched.append(numbers["copied"] > WRITTEN or numbers["ordered"] < ORDER)
    assert sum(touched) <= 0.02 * len(touched)


def test_threads_by_hand() -> None:
    """Runs of four of a, b, c … in the source's order are copied; pairs within two places are near."""
    source = thread.read("zaa zbb the zcc of zdd zee zff zgg zhh zii zjj")
    copied = [*["zaa", "house", "zbb", "and", "zcc", "zdd", "zee", "zff", "zgg", "zhh", "zii", "zjj", "money", "zaa"]]
    assert thread.follow(source, copied) == (pytest.approx(7 / 8), pytest.approx(9 / 10))
    assert thread.follow(source, ["zaa", "zcc", "zbb", "zff"]) == (0.0, pytest.approx(2 / 3))
    assert thread.follow(source, ["zaa", "zbb", "zcc", "zdd"]) == (1 / thread.FEWEST_RUNS, 1.0)
    assert thread.follow(source, ["house"]) == (0.0, 1.0)
