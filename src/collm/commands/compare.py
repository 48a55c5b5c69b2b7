"""``collm compare TASK…``: methods × tasks × seeds on equal budgets, with a live table and a report at the end."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.live import Live

from collm.commands.common import note, parse, print_json
from collm.comparison.study import Cell, Study, read_study, require_values, simple
from collm.config import read_yaml
from collm.errors import ConfigError
from collm.options import Range, check

if TYPE_CHECKING:
    from collm.comparison.runner import Runner, Status

_FREE = 2.0
"""The live table is drawn anew this often, per second: cells write a line of metrics about every second."""


@dataclasses.dataclass(frozen=True)
class CompareCommand:
    """Train methods × tasks × seeds on equal budgets, measure all on the same held-out problems, and write a report.

    Each cell is a run of its own, which goes on where it stopped: repeat the command after an interruption, or with more
    --seeds, methods or tasks. For settings that differ between methods or tasks, write a plan: --study.
    """

    tasks: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Which tasks; `collm tasks` lists them."""
    methods: tuple[str, ...] = ("collm-cc", "collm-dc", "magrpo")
    """Which methods (`collm methods`); raw, parallel, pipeline and discussion are untrained teams."""
    seeds: Annotated[int, Range(1)] = 5
    """Seeds per method and task, from 0."""
    env_steps: Annotated[int, Range(1)] | None = None
    """Budget of each training; by default the preset's."""
    preset: str = "default"
    """Which set of defaults."""
    config: Path | None = None
    """A YAML file with settings of all runs, as for `collm train`."""
    study: Path | None = None
    """A plan instead of tasks and methods: a study.yaml (docs/compare.md)."""
    out: Path | None = None
    """The comparison's folder. Default: runs/compare."""
    only: tuple[str, ...] = ()
    """Only these cells, as SETTING/ARM/SEED; a part of it stands for all that begin so."""
    jobs: Annotated[int, Range(1)] | None = None
    """Runs side by side; by default one per processor core."""
    report: bool = True
    """Write the report at the end; --no-report for none."""
    json: bool = False
    """Print exactly one JSON object on standard output at the end."""


def main(arguments: Sequence[str]) -> int:
    command = parse(CompareCommand, "compare", arguments)
    check(command)
    for name in ("methods", "only"):
        if any(argument.split("=")[0] == f"--{name}" for argument in arguments) and not getattr(command, name):
            raise ConfigError(f"--{name} names none.")
    folder = command.out or Path("runs/compare")
    study = _study(command, arguments)
    study.check()
    chosen = _chosen(study, command.only)
    # What runs cells takes seconds to load: nobody who asks for help or mistypes a plan waits for it.
    from collm.comparison.runner import Runner, begun

    runner = Runner(study, folder, chosen)
    jobs = command.jobs or max(1, (os.cpu_count() or 1) // study.threads)
    try:
        with begun(study, folder):
            complete = _run(runner, jobs)
    except KeyboardInterrupt:
        note(f"stopped; what was learned is saved. Go on with: collm compare {' '.join(arguments)}")
        return 130
    failed = [(cell, status) for cell in chosen if (status := runner.status(cell)).state == "failed"]
    for cell, status in failed:
        note(f"failed: {cell}: {status.reason}")
    if failed:
        note("Mend what failed and repeat the command: only what is missing is done again.")
    if command.report:
        _report(folder, command.json)
    return 0 if complete else 1


def _study(command: CompareCommand, arguments: Sequence[str]) -> Study:
    if command.study is None:
        if not command.tasks:
            raise ConfigError("name at least one task (collm tasks lists them), or a plan: --study FILE.")
        values = read_yaml(command.config) if command.config is not None else {}
        require_values(values, str(command.config))
        return simple(command.tasks, command.methods, command.seeds, command.env_steps, command.preset, values)
    given = [a.split("=")[0] for a in arguments if a.startswith("--")]
    clash = [flag for flag in given if flag in ("--methods", "--seeds", "--env-steps", "--preset", "--config")]
    if command.tasks or clash:
        raise ConfigError(
            f"{', '.join([*command.tasks, *clash])} cannot be used with --study: the plan says what is compared. Write it "
            "there."
        )
    return read_study(command.study)


def _chosen(study: Study, only: Sequence[str]) -> list[Cell]:
    cells = list(study.cells())
    if not only:
        return cells
    for part in only:
        if not any(_begins(cell, part) for cell in cells):
            raise ConfigError(f"--only {part}: there is no such cell. One that there is: {cells[0]}")
    return [cell for cell in cells if any(_begins(cell, part) for part in only)]


def _begins(cell: Cell, part: str) -> bool:
    names = part.split("/")
    return str(cell).split("/")[: len(names)] == names


def _run(runner: Runner, jobs: int) -> bool:
    from collm.comparison.progress import live_table, plain_line

    signal.signal(signal.SIGTERM, _as_interrupt)
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        return runner.run(jobs, lambda cell, status: note(plain_line(runner, cell, status)))
    with Live(console=console, get_renderable=lambda: live_table(runner), refresh_per_second=_FREE):
        return runner.run(jobs, _silent)


def _as_interrupt(number: int, frame: Any) -> None:
    """Whoever ends the process politely means the cells too."""
    raise KeyboardInterrupt


def _silent(cell: Cell, status: Status) -> None:
    pass


def _report(folder: Path, as_json: bool) -> None:
    from collm.comparison.report import write_report

    summary: dict[str, Any] = write_report(folder, folder / "report")
    if as_json:
        print_json(summary)
    else:
        print(f"report: {summary['page']}", file=sys.stdout)
