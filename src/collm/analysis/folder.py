"""What an analysis leaves behind: a folder with its settings, raw rows, tables and figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from collm.errors import ConfigError

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text, for people: the first column says what, the others how much."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """A title line and a table in Markdown."""
        lines = [self.columns, ("---", *["---:"] * (len(self.columns) - 1)), *self.rows]
        return "\n".join([f"**{self.title}**", "", *("| " + " | ".join(line) + " |" for line in lines)])

    def show(self, console: Console) -> None:
        """Print it."""
        table = RichTable(title=self.title, title_justify="left", box=box.SIMPLE_HEAD)
        for place, column in enumerate(self.columns):
            table.add_column(column, justify="right" if place else "left", no_wrap=place == 0)
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


def begin(out: Path, settings: Mapping[str, Any]) -> Path:
    """Make the folder and write ``config.yaml``. A folder with the same settings is that of a study that goes on: its
    trainings are kept. Raises ConfigError if there is anything else in it."""
    text, config = yaml.safe_dump(dict(settings), sort_keys=False), out / "config.yaml"
    if config.is_file() and config.read_text() == text:
        return out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(
            f"{out} is not empty, and not a study with these settings. Name another folder with --out, or move this one "
            "away."
        )
    out.mkdir(parents=True, exist_ok=True)
    config.write_text(text)
    return out


def write_rows(out: Path, rows: Iterable[Row]) -> list[Row]:
    """Write rows into ``raw.jsonl`` as they come, one JSON object per line; returns them all."""
    kept = []
    with (out / "raw.jsonl").open("w") as file:
        for row in rows:
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()
            kept.append(row)
    return kept


def write_tables(out: Path, tables: Sequence[Table]) -> None:
    """Write ``table.md``."""
    (out / "table.md").write_text("\n\n".join(table.markdown() for table in tables) + "\n")


def free_path(name: str) -> Path:
    """The first folder under runs/ that does not exist yet."""
    number = 1
    while (path := Path("runs") / f"analyze-{name}-{number}").exists():
        number += 1
    return path


def finish(out: Path, tables: list[Table], figures: list[Path], count: int, seconds: float, as_json: bool) -> None:
    """Write the tables and say what there is."""
    write_tables(out, tables)
    if as_json:
        print(json.dumps(_summary(out, tables, figures, count, seconds)))
        return
    console = Console(highlight=False)
    for table in tables:
        table.show(console)
    console.print(f"{count} rows in {seconds:.0f} s: {out}/raw.jsonl, table.md, {', '.join(f.name for f in figures)}")


def _summary(out: Path, tables: list[Table], figures: list[Path], count: int, seconds: float) -> dict[str, Any]:
    return {
        "out": str(out),
        "rows": count,
        "seconds": round(seconds, 1),
        "figures": [figure.name for figure in figures],
        "tables": [
            {"title": table.title, "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows]}
            for table in tables
        ],
    }


def number(value: float) -> str:
    """Three figures, or what is shorter; rounding errors are 0."""
    return "0" if abs(value) < 1e-15 else f"{value:.2e}" if abs(value) < 1e-3 or abs(value) >= 1e5 else f"{value:.3g}"
