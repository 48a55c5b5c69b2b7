"""What a person sees while a comparison runs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from collm.comparison.progress import live_table, plain_line
from collm.comparison.runner import Runner, Status
from collm.comparison.study import Cell, simple

STUDY = simple(["str-build"], ["raw", "magrpo"], 2, 400, "quick", {})
RAW, MC = ([Cell("str-build", arm, seed) for seed in (0, 1)] for arm in ("raw", "magrpo"))
STATES = {
    RAW[0]: Status("finished", 0, 35.0),
    RAW[1]: Status("failed", reason="no memory"),
    MC[0]: Status("running", 100, 40.0),
    MC[1]: Status("missing"),
}


class Halfway(Runner):
    left: float | None = 700.0

    def status(self, cell: Cell) -> Status:
        return STATES[cell]

    def share(self, cell: Cell) -> float:
        return STATES[cell].env_steps / 400

    def seconds_left(self) -> float | None:
        return self.left


@pytest.fixture
def runner(tmp_path: Path) -> Halfway:
    return Halfway(STUDY, tmp_path, STUDY.cells())


def text(runner: Runner) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(live_table(runner))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_has_every_cell_and_the_time_that_is_left(runner: Halfway) -> None:
    shown = text(runner)
    assert "1 of 4 cells finished, 1 running, 1 failed, about 12 min left" in shown
    assert "35.0 ●✗" in shown
    assert "◐· 25%" in shown


def test_no_time_is_named_before_one_is_known(runner: Halfway) -> None:
    runner.left = None
    assert "1 failed\n" in "\n".join(line.rstrip() for line in text(runner).splitlines())
    assert plain_line(runner, RAW[0], STATES[RAW[0]]).endswith("str-build/raw/0: score 35.0, 3 cells left")


def test_a_line_of_a_log(runner: Halfway) -> None:
    assert plain_line(runner, RAW[0], STATES[RAW[0]]).endswith("score 35.0, 3 cells left, about 12 min")
    assert plain_line(runner, RAW[1], STATES[RAW[1]]).endswith("str-build/raw/1: failed. no memory")
