"""The metrics of a run: one JSON object per line, only ever appended, cut back to a checkpoint on resume."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from collm.errors import CheckpointError

TIME_KEY = "time"
"""The one key of a record that holds wall-clock values; without it, two equal runs have equal records."""

_TAIL_BLOCK = 4096


def to_plain(value: Any, non_finite: Callable[[float], Any], where: str = "") -> Any:
    """The value as dictionaries, lists, strings and numbers that JSON can hold exactly.

    NumPy scalars become Python numbers, tuples become lists, and NaN and infinities become
    ``non_finite(value)``. Raises TypeError, naming the place, for anything else: arrays and tensors belong
    in a tensor file, and a key that is not a string would come back as one.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else non_finite(value)
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (list, tuple)):
        return [to_plain(item, non_finite, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where or 'the mapping'}: key {key!r} is not a string, so JSON cannot hold it.")
        return {key: to_plain(item, non_finite, f"{where}.{key}".lstrip(".")) for key, item in value.items()}
    raise TypeError(f"{where or 'the value'}: JSON cannot hold a {type(value).__name__}.")


def to_json(mapping: Mapping[str, Any], indent: int | None = None) -> str:
    """The mapping as JSON that any reader can read: numbers that are not finite become null."""
    return json.dumps(to_plain(mapping, lambda _: None), indent=indent, allow_nan=False)


class MetricsLog:
    """Appends records to a ``metrics.jsonl``, which it creates if it is missing.

    A process that was killed can leave half a line at the end; nothing here counts or keeps such a line.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.touch()

    @property
    def offset(self) -> int:
        """The number of bytes in complete lines, which a checkpoint keeps and :meth:`truncate` takes."""
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(0, end - _TAIL_BLOCK)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    return start + newline + 1
                end = start
        return 0

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record as one line and hand it to the system; non-finite numbers become null."""
        line = to_json(record).encode() + b"\n"
        end = self.offset
        with self.path.open("r+b") as file:
            file.truncate(end)
            file.seek(end)
            file.write(line)

    def sync(self) -> int:
        """Force all lines to the disk and return the offset.

        Call it before the checkpoint that keeps the offset, or a power failure could leave a checkpoint that
        knows more lines than the file has.
        """
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        return self.offset

    def truncate(self, offset: int) -> None:
        """Drop every byte after ``offset``, a torn last line included.

        Raises CheckpointError if the file is shorter than ``offset`` or has no line end there: then it is not
        the file that the checkpoint was written with.
        """
        size = self.path.stat().st_size
        if size < offset:
            raise CheckpointError(
                f"{self.path} has {size} bytes, but the checkpoint was saved when it had {offset}: "
                "it was cut short or replaced. Put the original file back, or begin a new run."
            )
        with self.path.open("r+b") as file:
            if offset:
                file.seek(offset - 1)
                if file.read(1) != b"\n":
                    raise CheckpointError(
                        f"{self.path} has no line end at byte {offset}, where the checkpoint expects one: "
                        "it was altered. Put the original file back, or begin a new run."
                    )
            file.truncate(offset)


def read(path: Path) -> list[dict[str, Any]]:
    """All records of a ``metrics.jsonl``, in order; a torn last line is left out.

    Raises CheckpointError if the file is missing or if a complete line is not a JSON object.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: there are no metrics to read.") from None
    return [_parse(line, path, number) for number, line in enumerate(lines, start=1)]


def _parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise CheckpointError(f"{path}, line {number}, was altered: it is not valid JSON ({error}).") from None
    if not isinstance(record, dict):
        raise CheckpointError(f"{path}, line {number}, was altered: it is not a JSON object.")
    return record


def without_time(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records without their wall-clock fields: what two runs with the same seed have in common."""
    return [{key: value for key, value in record.items() if key != TIME_KEY} for record in records]
