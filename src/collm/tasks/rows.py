"""Rows of a data set as problems: what names a row, in which split it is, and which rows are refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from collm.errors import ConfigError, unknown_name
from collm.randomness import integer
from collm.tasks.protocol import SPLITS, Problem, Split

Row = Any
"""One row: usually a mapping from fields to values."""
Rows = Iterable[Row] | Mapping[str, Iterable[Row]]
"""Rows to be split, or the rows of each split."""

_LABEL = "id"
"""The field that names a row unless another one is said to."""


@dataclasses.dataclass(frozen=True)
class RowProblem(Problem):
    """A row of a data set."""

    row: Row = dataclasses.field(hash=False)


@dataclasses.dataclass(frozen=True)
class _Placed:
    """A problem with where it comes from, for messages."""

    problem: RowProblem
    place: str
    content: str | None
    """The row without its name; None where it cannot be written down."""


def split_rows(
    rows: Rows, identify: str | Callable[[Row], Any], held_out: float, seed: int
) -> dict[Split, tuple[RowProblem, ...]]:
    """The problems of each split.

    Given splits are kept; without ``validation`` or ``test`` the other one serves for both. A single collection is split by
    a seeded hash of the rows' names: ``held_out`` of them are validation and test problems, in equal parts.

    Raises ConfigError, naming the row, for fields that are missing, names and rows that come twice, and rows that are
    both in train and in another split.
    """
    for name, some in rows.items() if isinstance(rows, Mapping) else [("", rows)]:
        if isinstance(some, str) or not isinstance(some, Iterable):
            where = f"rows[{name!r}]" if name else "rows"
            raise ConfigError(
                f"{where} is {type(some).__name__}; give a list of rows, or a mapping with those of 'train' and 'test'."
            )
    if isinstance(rows, Mapping):
        given = _given_splits(rows)
        placed = {split: _placed(given[split], identify, f" of '{split}'") for split in given}
        _require_fields([one for ones in placed.values() for one in ones])
        for ones in placed.values():
            _refuse_repeats(ones)
        _refuse_overlap(placed)
    else:
        everything = _placed(list(rows), identify, "")
        _require_fields(everything)
        _refuse_repeats(everything)
        placed = _drawn(everything, held_out, seed)
    return {split: tuple(one.problem for one in placed[split]) for split in SPLITS}


def fingerprint(problems: Mapping[Split, Sequence[RowProblem]]) -> str:
    """A hash of all names and rows, split by split."""
    digest = hashlib.blake2b(digest_size=8)
    for split in SPLITS:
        for problem in problems[split]:
            digest.update(f"{split}\x1f{problem.id}\x1f{_content(problem.row)}\x1e".encode())
    return digest.hexdigest()


def _given_splits(rows: Mapping[str, Iterable[Row]]) -> dict[Split, list[Row]]:
    for name in rows:
        if name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
    found = {split: list(rows[split]) for split in SPLITS if split in rows}
    if "train" not in found or len(found) == 1:
        raise ConfigError(f"rows has the splits {', '.join(found) or 'none'}; 'train' and 'test' are needed.")
    for split in SPLITS:
        if split not in found:
            found[split] = found["test" if split == "validation" else "validation"]
        if not found[split]:
            raise ConfigError(f"the split '{split}' has no rows.")
    return found


def _placed(rows: Sequence[Row], identify: str | Callable[[Row], Any], where: str) -> list[_Placed]:
    return [_place(row, identify, f"row {number}{where}") for number, row in enumerate(rows)]


def _place(row: Row, identify: str | Callable[[Row], Any], place: str) -> _Placed:
    content = _content(_unlabelled(row) if identify == _LABEL else row)
    if callable(identify):
        try:
            name = str(identify(row))
        except Exception as error:
            raise ConfigError(f"{place}: id failed with {type(error).__name__}: {error}.") from error
    elif isinstance(row, Mapping) and identify in row:
        name = str(row[identify])
    elif content is not None:
        name = hashlib.blake2b(content.encode(), digest_size=6).hexdigest()
    else:
        raise ConfigError(
            f"{place} has no field '{identify}' and cannot be written as JSON, so it has no name. Give the rows that field, "
            "or give from_functions id=, a function from a row to its name."
        )
    if not name.strip():
        raise ConfigError(f"{place} has an empty id.")
    return _Placed(RowProblem(name, row), f"{place} ('{name:.60}')", content)


def _unlabelled(row: Row) -> Row:
    """A row without its label; a field that is all a row has is no label."""
    rest = {key: value for key, value in row.items() if key != _LABEL} if isinstance(row, Mapping) else row
    return rest or row


def _content(row: Row) -> str | None:
    try:
        return json.dumps(row, sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError):
        return None


def _require_fields(placed: Sequence[_Placed]) -> None:
    """Every row has the fields of the first one."""
    if not placed or not isinstance(placed[0].problem.row, Mapping):
        return
    fields = list(placed[0].problem.row)
    for one in placed:
        row = one.problem.row
        missing = [str(field) for field in fields if not isinstance(row, Mapping) or field not in row]
        if missing:
            raise ConfigError(f"{one.place} lacks {', '.join(missing)}, which {placed[0].place} has.")


def _refuse_repeats(placed: Sequence[_Placed]) -> None:
    names: dict[str, _Placed] = {}
    contents: dict[str, _Placed] = {}
    for one in placed:
        _refuse(names.get(one.problem.id), one, "have the same id")
        names[one.problem.id] = one
        if one.content is not None:
            _refuse(contents.get(one.content), one, "are the same but for their ids")
            contents[one.content] = one


def _refuse_overlap(placed: Mapping[Split, Sequence[_Placed]]) -> None:
    """No row of train is in another split; validation and test may be one and the same list, and nothing in between."""
    names = {one.problem.id: one for one in placed["train"]}
    contents = {one.content: one for one in placed["train"] if one.content is not None}
    for one in (*placed["validation"], *placed["test"]):
        _refuse(names.get(one.problem.id), one, "have the same id, and train must share none")
        _refuse(contents.get(one.content or ""), one, "are the same row, and train must share none")
    validation, test = ([one.problem.id for one in ones] for ones in (placed["validation"], placed["test"]))
    shared = sorted(set(validation) & set(test))
    if shared and validation != test:
        raise ConfigError(
            f"validation and test share '{shared[0]}'. Make them disjoint, or leave validation out to use test for both."
        )


def _refuse(earlier: _Placed | None, one: _Placed, what: str) -> None:
    if earlier is not None:
        raise ConfigError(f"{earlier.place} and {one.place} {what}.")


def _drawn(placed: Sequence[_Placed], held_out: float, seed: int) -> dict[Split, list[_Placed]]:
    """Splits by a hash of the names, each in the order of the rows and none of them empty."""
    if not 0 < held_out < 1:
        raise ConfigError(f"held_out = {held_out}: must be above 0 and below 1.")
    each = max(1, round(held_out * len(placed) / 2))
    if len(placed) <= 2 * each:
        raise ConfigError(f"{len(placed)} rows leave none for training after {2 * each} that are held out.")
    order = sorted(range(len(placed)), key=lambda number: integer("rows", seed, placed[number].problem.id))
    parts: dict[Split, list[int]] = {
        "validation": order[:each],
        "test": order[each : 2 * each],
        "train": order[2 * each :],
    }
    return {split: [placed[number] for number in sorted(numbers)] for split, numbers in parts.items()}
