"""What a person sees while a run trains: a live panel on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

Clock = Callable[[], float]

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 100
_SIDE_BY_SIDE = 76
_PACE_UPDATES = 20
_REFRESH_PER_SECOND = 2
_PLAIN_SECONDS = 10.0
_PLAIN_UPDATES = 10


class Display(Protocol):
    """Shows a run. Call ``finish`` whatever happens, or a terminal would stay without a cursor."""

    def start(self, title: str, total: int, done: int) -> None:
        """Begin: ``total`` and ``done`` are env steps; ``done`` is above 0 for a resumed run."""

    def update(self, record: Mapping[str, Any]) -> None:
        """Show the record of one update; what it does not hold is shown as a dash or as last seen."""

    def note(self, text: str) -> None:
        """Show a sentence that stays."""

    def finish(self) -> None:
        """End; calling it again does nothing."""


def make_display(quiet: bool, stream: TextIO | None = None) -> Display:
    """Silent if ``quiet``; else live if ``stream`` (standard error) can be redrawn, and plain if not."""
    stream = stream or sys.stderr
    if quiet:
        return SilentDisplay()
    unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
    live = stream.isatty() and unicode and not Console(file=stream).is_dumb_terminal
    return LiveDisplay(stream) if live else PlainDisplay(stream)


class SilentDisplay:
    """Shows nothing."""

    def start(self, title: str, total: int, done: int) -> None:
        pass

    def update(self, record: Mapping[str, Any]) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def finish(self) -> None:
        pass


class PlainDisplay:
    """A line for the first update, each validation, and at least every 10 updates or 10 seconds."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._progress = Progress("", 0, 0, clock)
        self._printed_at = clock()
        self._waiting = 0

    def start(self, title: str, total: int, done: int) -> None:
        self._progress = Progress(title, total, done, self._clock)
        self._printed_at = -_PLAIN_SECONDS + self._clock()
        self._waiting = 0
        self._print(f"{title}: {total:,} env steps" + (f", {done:,} of them done" if done else ""))

    def update(self, record: Mapping[str, Any]) -> None:
        self._progress.add(record)
        self._waiting += 1
        due = self._clock() - self._printed_at >= _PLAIN_SECONDS or self._waiting >= _PLAIN_UPDATES
        if due or record.get("validation"):
            self._print_line()

    def note(self, text: str) -> None:
        self._print(text)

    def finish(self) -> None:
        if self._waiting:
            self._print_line()

    def _print_line(self) -> None:
        self._waiting = 0
        self._printed_at = self._clock()
        self._print(plain_line(self._progress))

    def _print(self, text: str) -> None:
        # A log in an old encoding must not end a training with a UnicodeEncodeError.
        encoding = self._stream.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), file=self._stream, flush=True)


class LiveDisplay:
    """A panel that is redrawn in place; what is printed to a terminal meanwhile appears above it."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._console = Console(file=stream, highlight=False)
        self._clock = clock
        self._progress = Progress("", 0, 0, clock)
        self._live: Live | None = None

    def start(self, title: str, total: int, done: int) -> None:
        self._progress = Progress(title, total, done, self._clock)
        self._live = Live(
            console=self._console,
            get_renderable=lambda: panel(self._progress, self._console.width),
            refresh_per_second=_REFRESH_PER_SECOND,
            # Standard output that goes to a file or a pipe (`--json`) is not ours to touch.
            redirect_stdout=sys.stdout.isatty(),
            vertical_overflow="crop",
        )
        self._live.start()

    def update(self, record: Mapping[str, Any]) -> None:
        self._progress.add(record)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def finish(self) -> None:
        if self._live is not None:
            self._progress.finish()
            self._live.stop()
            self._live = None


class Progress:
    """What a display knows: the newest values, the curve of the training score, and the pace."""

    def __init__(self, title: str, total: int, done: int, clock: Clock) -> None:
        self.title = title
        self.total = total
        self.done = done
        self.record: Mapping[str, Any] = {}
        self.validation: Mapping[str, Any] = {}
        self.raw: Mapping[str, Any] = {}
        self.scores: list[float] = []
        self._clock = clock
        self._began = clock()
        self._ended: float | None = None
        self._marks = deque([(self._began, done)], maxlen=_PACE_UPDATES)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in the record of one update."""
        self.record = record
        self.validation = record.get("validation") or self.validation
        self.raw = record.get("raw") or self.raw
        if _is_number(record.get("score")):
            self.scores.append(float(record["score"]))
        if _is_number(record.get("env_steps")):
            self.done = int(record["env_steps"])
        self._marks.append((self._clock(), self.done))

    def finish(self) -> None:
        """Stop the clock."""
        self._ended = self._clock()

    @property
    def fraction(self) -> float:
        """The part of the env steps that is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    @property
    def clock_text(self) -> str:
        """The time left at the pace of the last updates, or, after the end, the time taken."""
        now = self._clock() if self._ended is None else self._ended
        if self._ended is not None or self.done >= self.total:
            return f"took {duration(now - self._began)}"
        (first, steps_then), (last, steps_now) = self._marks[0], self._marks[-1]
        if steps_now <= steps_then or last <= first:
            return "ETA -"
        seconds_per_step = (last - first) / (steps_now - steps_then)
        left = (self.total - steps_now) * seconds_per_step - (now - last)
        return f"ETA {duration(max(0.0, left))}"


def plain_line(progress: Progress) -> str:
    """The newest values in one line, such as ``update 12  3,072/20,000 env steps  15%  score 38.2 ...``."""
    record = progress.record
    parts = [
        f"update {_show(record, 'update', spec='.0f')}",
        f"{progress.done:,}/{progress.total:,} env steps",
        f"{progress.fraction:.0%}",
        f"score {_show(record, 'score', spec='.1f')}",
        f"held-out {_show(progress.validation, 'score', spec='.1f')}",
        f"return {_show(record, 'return', spec='.2f')}",
        f"{_show(record, 'time', 'tokens_per_second', spec=',.0f')} tokens/s",
        progress.clock_text,
    ]
    if record.get("skipped_steps"):
        parts.insert(1, f"skipped {record['skipped_steps']}")
    return "  ".join(parts)


def panel(progress: Progress, width: int) -> RenderableType:
    """The live view, 11 lines where there is room: title, progress, values, curve of the training score."""
    width = min(width, _WIDTH)
    tables = (_team_table(progress), _inside_table(progress.record))
    body: RenderableType = Group(*tables)
    if width >= _SIDE_BY_SIDE:
        body = Table.grid(padding=(0, 4))
        body.add_row(*tables)
    parts = (_title(progress), _bar(progress, width), Text(), body, Text(), _curve(progress.scores, width))
    return Group(*parts)


def _title(progress: Progress) -> Text:
    title = Text(progress.title, style="bold", no_wrap=True, overflow="ellipsis")
    if _is_number(progress.record.get("update")):
        title.append(f"  update {progress.record['update']}", style="dim")
    if progress.record.get("skipped_steps"):
        title.append(f"  skipped {progress.record['skipped_steps']}", style="yellow")
    return title


def _bar(progress: Progress, width: int) -> Table:
    total = f"{progress.total:,}"
    steps = f"{progress.done:>{len(total)},}/{total} env steps"
    text = f"{progress.fraction:4.0%}  {steps}  {progress.clock_text:<11}"
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(100.0, 100.0 * progress.fraction, max(10, width - len(text) - 1)), text)
    return bar


def _team_table(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=13)
    table.add_column(justify="right", min_width=7)
    table.add_column(justify="right", min_width=7)
    table.add_row("", Text("return", style="dim"), Text("score", style="dim"))
    rows = (("train", progress.record, "cyan"), ("held-out", progress.validation, "bold green"))
    for label, values, style in (*rows, ("held-out, raw", progress.raw, "dim")):
        cells = (_show(values, key, spec=spec) for key, spec in (("return", ".2f"), ("score", ".1f")))
        table.add_row(label, *(Text(cell, style=style) for cell in cells))
    return table


def _inside_table(record: Mapping[str, Any]) -> Table:
    rows = (
        ("critic error", _show(record, "critic", "loss", spec=".3f")),
        ("explained variance", _show(record, "critic", "explained_variance", spec=".2f")),
        ("contribution", _show(record, "contribution", spec=".2f")),
        ("policy KL", _show(record, "policy", "kl", spec=".4f")),
        ("tokens/s", _show(record, "time", "tokens_per_second", spec=",.0f")),
        ("env steps/s", _show(record, "time", "env_steps_per_second", spec=",.0f")),
    )
    table = Table.grid(padding=(0, 2))
    for label, value in rows:
        table.add_row(Text(label, style="dim"), value)
    return table


def _curve(scores: Sequence[float], width: int) -> Text:
    label, ends = "train score  ", f"  {scores[0]:.1f} → {scores[-1]:.1f}" if scores else "  -"
    line = sparkline(scores, max(8, width - len(label) - 16))
    return Text.assemble((label, "dim"), (line, "cyan"), (ends, "dim"))


def sparkline(values: Sequence[float], width: int) -> str:
    """At most ``width`` blocks, each the mean of its share of the values, between their own extremes."""
    count = min(width, len(values))
    edges = [index * len(values) // count for index in range(count + 1)] if count else []
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    if not means:
        return ""
    low, span = min(means), max(means) - min(means)
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round((mean - low) / span * top) if span else top // 2] for mean in means)


def duration(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _show(record: Mapping[str, Any], *keys: str, spec: str) -> str:
    """The value under nested keys, formatted; a dash for what is missing, one number each for a list."""
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    values: Iterable[Any] = value if isinstance(value, (list, tuple)) and value else [value]
    return "  ".join(format(item, spec) if _is_number(item) else "-" for item in values)
