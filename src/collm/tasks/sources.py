"""Problems from data sets in the Hugging Face format: read, checked row by row, with disjoint splits.

The hub, a local folder and a local mirror go through the same call of ``datasets``; a folder holds one file per split
(``train.jsonl``, ``test.parquet``, …) in the schema of the data set that it stands for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from collm.errors import ConfigError
from collm.hub import work_offline_without_network
from collm.tasks.protocol import SPLITS, Split

BadRows = Literal["refuse", "drop"]
"""What to do with a row that cannot be used: stop and name it, or go on without it and say so."""

_SHOWN = 5
"""Dropped rows that a note names."""


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set that a task can read, and which of its rows the task's splits are."""

    name: str
    """Its name on the hub."""
    splits: Mapping[Split, str]
    """Split of the task → slice of the data set, e.g. ``train[:1000]``. Two splits other than train may be the same."""
    text: str
    """The field with the text that makes two rows the same problem; it may not be empty."""
    fields: tuple[str, ...] = ()
    """Other fields that every row must have."""
    id: str | None = None
    """The field with a unique name; without one, rows are named after a hash of their text."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One row that can be used."""

    id: str
    place: str
    """Where it stands, for messages: ``train[:1000] row 17``, counted from the first row of the whole split."""
    fields: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Loaded:
    """All rows of a data set, by split of the task."""

    rows: Mapping[Split, tuple[Row, ...]]
    dropped: tuple[str, ...] = ()
    """Why each dropped row was dropped."""

    def notes(self) -> tuple[str, ...]:
        """What a person should know: how many rows are missing, and why."""
        return dropped_note("rows of the data set", self.dropped)


def dropped_note(what: str, reasons: tuple[str, ...]) -> tuple[str, ...]:
    """One line about things that were left out, with the first reasons; none if nothing was."""
    if not reasons:
        return ()
    more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    return (f"dropped {len(reasons)} {what}: {'; '.join(reasons[:_SHOWN])}{more}",)


def load(
    dataset: DataSet,
    location: str = "",
    bad_rows: BadRows = "refuse",
    keep: Callable[[Mapping[str, Any]], bool] = lambda fields: True,
) -> Loaded:
    """Read every split of a data set. ``keep`` is the task's own filter; rows it leaves out are no errors.

    ``location`` is a local folder, or another name on the hub, in the same schema. Raises ConfigError for a data set that
    cannot be reached and, unless ``bad_rows`` is ``drop``, for the first row without a required field, with an
    empty text, with an id or text seen before in its split, or in train and in another split.
    """
    source = location or dataset.name
    if Path(source).is_file():
        raise ConfigError(
            f"task.data = {source} is a file. Name its folder, which holds a file per split: train.jsonl, test.jsonl, …"
        )
    check = _Check(dataset, source, bad_rows)
    slices = dict.fromkeys(dataset.splits[split] for split in SPLITS)
    known: dict[str, tuple[Row, ...]] = {}
    for name in slices:
        rows = enumerate(_read(dataset, source, name), _first_row(name))
        kept = ((number, fields) for number, fields in rows if not check.is_whole(fields) or keep(fields))
        known[name] = tuple(check.accepted(name, kept))
        if not known[name]:
            raise ConfigError(f"the data set '{source}' has no usable rows in {name}.")
    return Loaded({split: known[dataset.splits[split]] for split in SPLITS}, tuple(check.dropped))


def _read(dataset: DataSet, source: str, name: str) -> list[dict[str, Any]]:
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            "data sets need the extra 'hub': pip install 'collm[hub]'. Without it, use task.source = mini."
        ) from error
    work_offline_without_network(source)
    try:
        found = _slice(datasets.load_dataset, source, name)
    except Exception as error:  # The library raises a dozen kinds, from sockets to parsers.
        reason = _reason(error, source)
        if "corresponds to no data" in reason:
            reason = f"it has no row {_first_row(name)}, where the slice begins, or is empty"
        reason = f"{reason.rstrip('.')}."
        raise ConfigError(
            f"the data set '{source}' ({name}) cannot be read: {reason:.200} "
            f"Use task.source = mini, or task.data = a local folder with the splits of '{dataset.name}' as .jsonl files."
        ) from error
    return list(found)


def _reason(error: BaseException, source: str) -> str:
    """The first line of what was wrong in the first place; for a local file with its name."""
    root = error
    if "generating the dataset" in str(error) and error.__cause__ is not None:
        root = error.__cause__
    reason = (str(root).strip().splitlines() or [type(root).__name__])[0]
    files = _files(source)
    empty = [path.name for path in files if not path.stat().st_size]
    if empty:
        return f"{empty[0]} is empty."
    if root is error:
        return reason
    return f"{_broken_line(files) or reason}."


def _files(source: str) -> list[Path]:
    """The files with rows in a local folder: all of them are read, whichever split is asked for."""
    folder = Path(source)
    return sorted(path for path in folder.glob("*.json*") if path.is_file()) if folder.is_dir() else []


def _broken_line(files: Sequence[Path]) -> str | None:
    """Where the first line stands that is no JSON, and why; None if all are."""
    for path in (path for path in files if path.suffix == ".jsonl"):
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            try:
                json.loads(line or "{}")
            except ValueError as error:
                return f"{path.name} line {number}: {error}"
    return None


def _first_row(name: str) -> int:
    """The row of the data set that a slice begins with: 33 for ``test[33:163]``."""
    found = re.search(r"\[(\d+):", name)
    return int(found[1]) if found else 0


def _slice(load_dataset: Callable[..., Any], source: str, name: str) -> Any:
    """A slice by its name. Files that are called ``val`` become a split ``validation`` unless a data set says otherwise."""
    try:
        return load_dataset(source, split=name)
    except ValueError:
        split, bracket, rest = name.partition("[")
        if split != "val":
            raise
    return load_dataset(source, split=f"validation{bracket}{rest}")


class _Check:
    """What has been seen so far of a data set."""

    def __init__(self, dataset: DataSet, source: str, bad_rows: BadRows) -> None:
        self.dataset, self.source, self.bad_rows = dataset, source, bad_rows
        self.seen: dict[str, str] = {}
        self.dropped: list[str] = []

    def is_whole(self, fields: Mapping[str, Any]) -> bool:
        return self._broken(fields) is None

    def accepted(self, name: str, rows: Iterator[tuple[int, Mapping[str, Any]]]) -> Iterator[Row]:
        for number, fields in rows:
            place = f"{name} row {number}"
            wrong = self._broken(fields) or self._twice(fields)
            if wrong is None:
                for mark in self._marks(fields):
                    self.seen[mark] = place
                yield Row(self._id(fields), place, fields)
            elif self.bad_rows == "drop":
                self.dropped.append(f"{place} {wrong}")
            else:
                raise ConfigError(
                    f"data set '{self.source}': {place} {wrong}. Mend it, or leave such rows out with "
                    "task.bad_rows = drop."
                )

    def _broken(self, fields: Mapping[str, Any]) -> str | None:
        for field in (self.dataset.text, *self.dataset.fields, *((self.dataset.id,) if self.dataset.id else ())):
            if fields.get(field) is None:
                there = sorted(str(name) for name, value in fields.items() if value is not None)
                return f"has no field '{field}' (it has: {', '.join(there) or 'nothing'})"
        text = fields[self.dataset.text]
        if not isinstance(text, str):
            return f"has a field '{self.dataset.text}' that is {type(text).__name__}, not text"
        return None if text.strip() else f"has an empty field '{self.dataset.text}'"

    def _twice(self, fields: Mapping[str, Any]) -> str | None:
        for mark in self._marks(fields):
            if mark in self.seen:
                return f"repeats {self.seen[mark]} (the same {mark.partition(' ')[0]})"
        return None

    def _marks(self, fields: Mapping[str, Any]) -> tuple[str, ...]:
        text = f"text {' '.join(fields[self.dataset.text].split())}"
        return (f"id {fields[self.dataset.id]}", text) if self.dataset.id else (text,)

    def _id(self, fields: Mapping[str, Any]) -> str:
        if self.dataset.id:
            return str(fields[self.dataset.id])
        text = " ".join(fields[self.dataset.text].split())
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
