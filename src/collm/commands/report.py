"""``collm report PATH…``: one page for a run, for several runs, or for a comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from collm.commands.common import parse, print_json
from collm.comparison.study import FILE
from collm.errors import ConfigError
from collm.options import check

if TYPE_CHECKING:
    from collm.comparison.records import Record


@dataclasses.dataclass(frozen=True)
class ReportCommand:
    """Write a page with tables, curves and samples: of runs that `collm train` made, or of a comparison."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Folders of runs; or one folder of a comparison, or of its SETTING.jsonl records."""
    out: Path | None = None
    """Where the report goes; by default into the (first) folder, as report/."""
    json: bool = False
    """Print exactly one JSON object on standard output."""


def main(arguments: Sequence[str]) -> int:
    command = parse(ReportCommand, "report", arguments)
    check(command)
    if not command.paths:
        raise ConfigError("name at least one run folder, or the folder of a comparison.")
    # What draws takes seconds to load: nobody who asks for help or mistypes an option waits for it.
    from collm.comparison.data import Comparison
    from collm.comparison.report import write, write_report

    first = command.paths[0]
    out = command.out or first / "report"
    line = " ".join(["collm report", *map(str, command.paths)])
    if is_comparison(first):
        if len(command.paths) > 1:
            raise ConfigError(f"{first} is a comparison, which is reported alone. Name it alone, or runs only.")
        found = write_report(first, out, line)
    else:
        folders = of_runs(command.paths)
        found = write(Comparison([record for record, _ in folders]), out, line, {_key(r): path for r, path in folders})
    if command.json:
        print_json(found)
    else:
        print(found["page"])
    return 0


def is_comparison(path: Path) -> bool:
    """Whether a folder holds a comparison, or records of one."""
    return (path / FILE).is_file() or (
        path.is_dir() and any(path.glob("*.jsonl")) and not (path / "config.yaml").is_file()
    )


def of_runs(paths: Sequence[Path]) -> list[tuple[Record, Path]]:
    """The records of runs. Runs of one method that differ in more than the seed are arms of their own, named as their
    folders: by as much of the path as tells all runs apart."""
    from collm.comparison import records

    found = [(records.of_run(path), path) for path in {path.resolve(): path for path in paths}.values()]
    names = _tails([path for _, path in found])
    arms: dict[str, list[Record]] = {}
    for record, _ in found:
        arms.setdefault(record["arm"], []).append(record)
    several = {arm for arm, own in arms.items() if not _one_arm(own)}
    for (record, _), name in zip(found, names, strict=True):
        if record["arm"] in several:
            record["arm"] = name
    return found


def _one_arm(runs: Sequence[Record]) -> bool:
    """Whether runs differ in their seed alone, and all do."""
    seeds = {_key(record) for record in runs}
    return len(seeds) == len(runs) and all(record["config"] == runs[0]["config"] for record in runs)


def _tails(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of different paths, all of the same number of parts, that are different too."""
    parts = [path.resolve().parts for path in paths]
    ends = (["/".join(own[-length:]) for own in parts] for length in range(1, max(map(len, parts)) + 1))
    return next(names for names in ends if len(set(names)) == len(names))


def _key(record: Record) -> tuple[str, str, int]:
    return record["setting"], record["arm"], record["seed"]
