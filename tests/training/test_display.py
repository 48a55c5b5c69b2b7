"""The displays show what a record holds, a dash for what it does not, and fit the place they are shown in."""

import io
import json
import math
import os
import pty
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from collm.training.display import (
    LiveDisplay,
    PlainDisplay,
    Progress,
    SilentDisplay,
    duration,
    make_display,
    panel,
    sparkline,
)

RECORD: dict[str, Any] = {
    "update": 12,
    "env_steps": 3072,
    "return": 0.41,
    "score": 38.2,
    "contribution": [0.4, 0.55],
    "critic": {"loss": 0.125, "explained_variance": 0.33},
    "policy": {"kl": 0.0123, "clip_fraction": 0.1, "entropy": 0.5, "grad_norm": 1.2},
    "validation": {"score": 41.5},
    "raw": {"score": 21.7, "return": 0.2},
    "skipped_steps": 0,
    "time": {"seconds": 33.1, "tokens_per_second": 15000.0, "env_steps_per_second": 80.0},
}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self) -> bool:
        return True


def shown(progress: Progress, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, height=24, force_terminal=False)
    console.print(panel(progress, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def progress_of(*records: dict[str, Any], total: int = 20_000) -> Progress:
    progress = Progress("str-build · collm-cc · seed 0", total, 0, Clock())
    for record in records:
        progress.add(record)
    return progress


def test_the_panel_shows_every_value() -> None:
    text = shown(progress_of(RECORD))
    numbers = "update 12,15%,3,072/20,000,0.41,38.2,41.5,21.7,0.125,0.33,0.40  0.55,0.0123,15,000,80"
    for expected in numbers.replace("3,072/20,000", "3072/20000").replace("15,000", "15000").split(","):
        assert expected in text.replace(",", ""), expected


@pytest.mark.parametrize("width", [80, 120])
def test_the_panel_fits_a_terminal_even_with_large_numbers(width: int) -> None:
    large = RECORD | {"env_steps": 9_999_999, "contribution": [0.25] * 4, "skipped_steps": 3}
    large |= {"time": {"tokens_per_second": 1_234_567.0, "env_steps_per_second": 12_345.0}}
    lines = shown(progress_of(*[large] * 500, total=99_999_999), width).splitlines()
    assert len(lines) == 11
    assert max(len(line.rstrip()) for line in lines) <= width


def test_a_narrow_terminal_loses_no_value() -> None:
    text = shown(progress_of(RECORD), width=56)
    for expected in ("0.41", "38.2", "41.5", "21.7", "0.125", "0.40  0.55", "15,000"):
        assert expected in text, expected
    assert max(map(len, text.splitlines())) <= 56


@pytest.mark.parametrize("key", [None, *RECORD])
def test_a_missing_or_empty_key_is_a_dash(key: str | None) -> None:
    missing = {name: value for name, value in RECORD.items() if key is not None and name != key}
    empty = missing | ({key: None} if key else {})
    for record in (missing, empty):
        progress = progress_of(record)
        assert shown(progress).count("\n") == 11
        stream = io.StringIO()
        display = PlainDisplay(stream)
        display.start("title", 100, 0)
        display.update(record)
        assert "None" not in stream.getvalue() + shown(progress)
    assert "  -" in shown(progress_of({}))


def test_a_value_that_is_not_a_number_is_a_dash() -> None:
    text = shown(progress_of(RECORD | {"score": math.nan, "critic": {"loss": math.nan}}))
    assert "nan" not in text


def test_the_last_validation_and_the_raw_score_stay() -> None:
    text = shown(progress_of(RECORD, {"update": 13, "env_steps": 3328, "score": 39.0}))
    assert "41.5" in text
    assert "21.7" in text


def test_the_time_left_follows_the_pace_and_runs_down_between_updates() -> None:
    clock = Clock()
    progress = Progress("title", 1000, 400, clock)
    assert progress.clock_text == "ETA -"
    clock.now += 10
    progress.add({"env_steps": 500})
    assert progress.clock_text == "ETA 0:50"
    clock.now += 20
    assert progress.clock_text == "ETA 0:30"
    clock.now += 100
    assert progress.clock_text == "ETA 0:00"
    progress.finish()
    clock.now += 100
    assert progress.clock_text == "took 2:10"
    progress = Progress("title", 1000, 400, clock)
    clock.now += 5
    progress.add({"env_steps": 1000})
    assert progress.clock_text == "took 0:05"


def test_sparkline_by_hand() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 0, 7, 7], 2) == "▁█"
    assert sparkline([5, 5, 5], 8) == "▄▄▄"
    assert sparkline([], 8) == ""
    assert len(sparkline(list(range(1000)), 30)) == 30


def test_duration_by_hand() -> None:
    assert [duration(seconds) for seconds in (0, 59.6, 61, 3661)] == ["0:00", "1:00", "1:01", "1:01:01"]


def plain(updates: int, seconds: float, **changes: Any) -> list[str]:
    stream, clock = io.StringIO(), Clock()
    display = PlainDisplay(stream, clock)
    display.start("title", 10_000, 0)
    for update in range(1, updates + 1):
        clock.now += seconds
        display.update({"update": update, "env_steps": update * 10, "score": 1.0} | changes)
    display.finish()
    display.finish()
    return stream.getvalue().splitlines()[1:]


def test_plain_lines_come_every_ten_updates_and_the_last_is_shown_once() -> None:
    assert [line.split("  ")[0] for line in plain(25, 0.1)] == [f"update {n}" for n in (1, 11, 21, 25)]


def test_plain_lines_come_every_ten_seconds() -> None:
    assert [line.split("  ")[0] for line in plain(5, 6.0)] == [f"update {n}" for n in (1, 3, 5)]


def test_every_validation_has_its_plain_line() -> None:
    assert len(plain(4, 0.1, validation={"score": 41.0})) == 4


def test_plain_lines_carry_the_values_without_escape_codes() -> None:
    stream = io.StringIO()
    display = PlainDisplay(stream)
    display.start("title", 20_000, 0)
    display.update(RECORD | {"skipped_steps": 2})
    display.note("saved [update-00000012]")
    text = stream.getvalue()
    assert "score 38.2  held-out 41.5  return 0.41  15,000 tokens/s" in text
    assert "skipped 2" in text
    assert "saved [update-00000012]\n" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) < 140


def test_an_old_encoding_does_not_end_a_training() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    PlainDisplay(stream).note("str-build · ü")
    stream.seek(0)
    assert stream.read() == "str-build ? ?\n"


def test_the_display_is_chosen_by_what_the_stream_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(make_display(True, Terminal()), SilentDisplay)
    assert isinstance(make_display(False, io.StringIO()), PlainDisplay)
    assert isinstance(make_display(False, Terminal()), LiveDisplay)
    assert isinstance(make_display(False, Terminal("ascii")), PlainDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_display(False, Terminal()), PlainDisplay)


_LIVE = """
import sys
from collm.training.display import make_display
display = make_display(False)
display.start("title", 100, 0)
display.update({"update": 1, "env_steps": 50, "score": 38.2})
display.note("saved [bold]")
print('{"one": "object"}')
display.finish()
display.finish()
"""


def test_on_a_terminal_the_panel_is_on_standard_error_and_standard_output_stays_clean() -> None:
    ours, theirs = pty.openpty()
    process = subprocess.run(
        [sys.executable, "-c", _LIVE],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
        check=True,
    )
    os.close(theirs)
    screen = os.read(ours, 100_000).decode()
    os.close(ours)
    assert json.loads(process.stdout) == {"one": "object"}
    assert "38.2" in screen
    assert "saved [bold]" in screen
    assert screen.rindex("\x1b[?25h") > screen.rindex("\x1b[?25l"), "the cursor is hidden"
