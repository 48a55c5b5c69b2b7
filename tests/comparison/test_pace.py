"""How long a comparison says that it will still take."""

from __future__ import annotations

import pytest

from collm.comparison.pace import Pace, about
from collm.comparison.study import Arm, Cell, Setting, Study

STUDY = Study(
    {"short": Setting("str-build"), "long": Setting("str-build")},
    {"raw": Arm("raw"), "magrpo": Arm("magrpo"), "collm-cc": Arm("collm-cc")},
    seeds=2,
)
MC, CC, RAW = (Cell("short", arm, 0) for arm in ("magrpo", "collm-cc", "raw"))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(STUDY, clock)


def test_nothing_is_said_before_anything_is_known(pace: Pace, clock: Clock) -> None:
    pace.begin(MC, 0.0)
    clock.now += 10
    assert pace.seconds_left({MC: 0.1}, 1) is None
    assert pace.seconds_left({MC: 0.5}, 1) == 10


def test_each_cell_takes_what_the_nearest_took(pace: Pace, clock: Clock) -> None:
    """Its arm in its setting, else its setting, else any; trained and untrained teams say nothing of each other."""
    for cell, seconds in ((MC, 60), (CC, 120)):
        pace.begin(cell, 0.0)
        clock.now += seconds
        pace.end(cell, finished=True)
    assert pace.seconds_left({Cell("short", "collm-cc", 1): 0.0}, 1) == 120
    assert pace.seconds_left({Cell("short", "collm-cc", 1): 0.25, Cell("short", "magrpo", 1): 0.0}, 1) == 90 + 60
    assert pace.seconds_left({Cell("long", "collm-cc", 0): 0.0}, 1) == 90
    assert pace.seconds_left({RAW: 0.0}, 1) is None


def test_cells_share_the_jobs_and_the_longest_sets_the_end(pace: Pace, clock: Clock) -> None:
    pace.begin(MC, 0.0)
    clock.now += 60
    pace.end(MC, finished=True)
    cells = dict.fromkeys([Cell("short", "magrpo", seed) for seed in range(1, 5)], 0.0)
    assert pace.seconds_left(cells, 2) == 120
    assert pace.seconds_left(cells, 8) == 60
    assert pace.seconds_left({}, 2) == 0


def test_a_cell_that_goes_on_is_measured_by_what_it_plays_now(pace: Pace, clock: Clock) -> None:
    pace.begin(MC, 0.5)
    clock.now += 30
    assert pace.seconds_left({MC: 0.75}, 1) == 30
    pace.end(MC, finished=True)
    assert pace.seconds_left({Cell("short", "magrpo", 1): 0.0}, 1) == 60


def test_a_cell_that_fails_says_nothing(pace: Pace, clock: Clock) -> None:
    pace.begin(MC, 0.0)
    clock.now += 1
    pace.end(MC, finished=False)
    assert pace.seconds_left({CC: 0.0}, 1) is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(20, "less than a minute"), (45, "about 1 min"), (3_580, "about 1 h 0 min"), (5_300, "about 1 h 28 min")],
)
def test_times_in_words(seconds: float, said: str) -> None:
    assert about(seconds) == said
