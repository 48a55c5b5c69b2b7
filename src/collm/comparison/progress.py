"""What a person sees while a comparison runs."""

from __future__ import annotations

import collections
import time
from collections.abc import Sequence

import numpy as np
from rich.table import Table
from rich.text import Text

from collm.comparison.runner import Runner, Status
from collm.comparison.study import Cell

_MARKS = {
    "finished": ("●", "green"),
    "running": ("◐", "cyan"),
    "failed": ("✗", "bold red"),
    "stopped": ("◔", "yellow"),
    "missing": ("·", "dim"),
}


def live_table(runner: Runner) -> Table:
    """Settings down, arms across: a mark per seed and the mean score of those that are finished."""
    states = runner.table()
    settings = list(dict.fromkeys(setting for setting, _ in states))
    arms = list(dict.fromkeys(arm for _, arm in states))
    done = collections.Counter(status.state for own in states.values() for status in own)
    title = f"{done['finished']} of {sum(done.values())} cells finished, {done['running']} running"
    title += f", {done['failed']} failed" if done["failed"] else ""
    table = Table(title=title, title_justify="left", caption="● finished ◐ running ◔ begun ✗ failed")
    table.add_column("")
    for arm in arms:
        table.add_column(arm)
    for setting in settings:
        table.add_row(setting, *(_cell(runner, setting, states.get((setting, arm), ())) for arm in arms))
    return table


def _cell(runner: Runner, setting: str, states: Sequence[Status]) -> Text:
    if not states:
        return Text("–", style="dim")
    text = Text()
    scores = [status.score for status in states if status.state == "finished" and status.score is not None]
    if scores:
        text.append(f"{np.mean(scores):.1f} ", style="bold")
    for status in states:
        text.append(*_MARKS[status.state])
    share = [f"{_share(runner, setting, status):.0%}" for status in states if status.state == "running"]
    return text.append(f" {' '.join(share)}", style="cyan") if share else text


def _share(runner: Runner, setting: str, status: Status) -> float:
    return min(1.0, status.env_steps / runner.study.budget(setting))


def plain_line(runner: Runner, cell: Cell, status: Status) -> str:
    """One line for a log, when a cell has ended."""
    left = sum(each.state != "finished" for own in runner.table().values() for each in own)
    clock = time.strftime("%H:%M:%S")
    if status.state == "finished":
        return f"{clock} {cell}: score {status.score:.1f}, {left} cells left"
    return f"{clock} {cell}: {status.state}. {status.reason}"
