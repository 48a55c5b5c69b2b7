"""What a person sees while a comparison runs."""

from __future__ import annotations

import collections
import time
from collections.abc import Mapping

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from collm.comparison.pace import about
from collm.comparison.runner import Runner, Status
from collm.comparison.study import Cell

_MARKS = {
    "finished": ("●", "green"),
    "running": ("◐", "cyan"),
    "failed": ("✗", "bold red"),
    "stopped": ("◔", "yellow"),
    "missing": ("·", "dim"),
}


def live_table(runner: Runner) -> Group:
    """Settings down, arms across: a mark per seed and the mean score of those that are finished."""
    states = runner.table()
    settings = list(dict.fromkeys(setting for setting, _ in states))
    arms = list(dict.fromkeys(arm for _, arm in states))
    done = collections.Counter(status.state for own in states.values() for status in own.values())
    title = f"{done['finished']} of {sum(done.values())} cells finished, {done['running']} running"
    title += f", {done['failed']} failed" if done["failed"] else ""
    title += f"{time_left} left" if (time_left := _time(runner)) else ""
    table = Table()
    table.add_column("")
    for arm in arms:
        table.add_column(arm)
    for setting in settings:
        table.add_row(setting, *(_cell(runner, states.get((setting, arm), {})) for arm in arms))
    # Not the table's own title and caption, which are folded to its width.
    return Group(Text(title), table, Text("● finished ◐ running ◔ begun ✗ failed", style="dim"))


def _cell(runner: Runner, states: Mapping[Cell, Status]) -> Text:
    if not states:
        return Text("–", style="dim")
    text = Text()
    scores = [status.score for status in states.values() if status.state == "finished" and status.score is not None]
    if scores:
        text.append(f"{np.mean(scores):.1f} ", style="bold")
    for status in states.values():
        text.append(*_MARKS[status.state])
    share = [f"{runner.share(cell):.0%}" for cell, status in states.items() if status.state == "running"]
    return text.append(f" {' '.join(share)}", style="cyan") if share else text


def _time(runner: Runner) -> str:
    """How long the rest will take, once that is known."""
    seconds = runner.seconds_left()
    return f", {about(seconds)}" if seconds else ""


def plain_line(runner: Runner, cell: Cell, status: Status) -> str:
    """One line for a log, when a cell has ended."""
    left = sum(each.state != "finished" for own in runner.table().values() for each in own.values())
    clock = time.strftime("%H:%M:%S")
    if status.state == "finished":
        return f"{clock} {cell}: score {status.score:.1f}, {left} cells left{_time(runner)}"
    return f"{clock} {cell}: {status.state}. {status.reason}"
