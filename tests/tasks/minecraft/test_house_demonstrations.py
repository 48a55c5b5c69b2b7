import itertools

import numpy as np

from collm.randomness import generator
from collm.tasks.minecraft.house_build import HouseBuild, HouseBuildOptions
from collm.tasks.minecraft.house_demonstrations import Habits, demonstrate, stream
from collm.tasks.minecraft.houses import generated_houses

QUICK = HouseBuildOptions(size="small", turns=2)


def test_the_stream_is_a_function_of_its_generator() -> None:
    first, again, other = (list(itertools.islice(stream(generator("test", key)), 40)) for key in (1, 1, 2))
    assert first == again != other


def test_the_stream_covers_all_forms() -> None:
    texts = [
        "\n".join(m.content for seen, _ in one for m in seen) for one in itertools.islice(stream(generator(3)), 1500)
    ]
    for mark in (
        "You are the only agent.",
        "Agent 2 of 2",
        "Agent 3 of 3",
        "Agent 4 of 4",
        "blocks stay.",
        "each turn starts from an empty world",
        "There is one turn.",
        "Cells still wrong",
        "Cells of the last build that were wrong",
        "last reward",
        "Fill these boxes",
        "Target positions",
        "Wrong cells, with",
        "Target rectangles with",
        "Suggested boxes",
        "y=0: (",
    ):
        assert any(mark in text for text in texts), mark


def test_held_out_houses_are_never_shown() -> None:
    held_out = {house.id for split in ("validation", "test") for house in generated_houses(split, "small", 400, 0)}
    shown = {house.id for house in generated_houses("train", "small", 1000, 0)}
    assert not held_out & shown


def crowd_scores(habits: list[Habits] | None) -> np.ndarray:
    task, random = HouseBuild(QUICK), generator("scores")
    return np.array([task.score(p, demonstrate(task, p, random, habits)[1]) for p in task.problems("test")])


def test_the_crowd_builds_some_of_a_house_and_agreement_builds_nearly_all_of_it() -> None:
    assert 35 < crowd_scores(None).mean() < 50
    seats = [Habits("seat", "first", miss=0.0, effort=1.0, forgets=False, follows=True)] * 2
    assert crowd_scores(seats).mean() > 97
    same = [Habits("low side", "first", miss=0.0, effort=1.0, forgets=False, follows=True)] * 2
    assert crowd_scores(same).mean() < 80
