"""Data sets: rows are read through the real library from local folders, checked one by one, and splits never meet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from collm.errors import ConfigError
from collm.tasks.protocol import SPLITS
from collm.tasks.sources import DataSet, load

POSTS = DataSet(
    "somebody/posts",
    {"train": "train[:3]", "validation": "validation[:2]", "test": "test[:2]"},
    text="prompt",
    fields=("completion",),
)
NAMED = DataSet(
    "somebody/named", {"train": "train[1:]", "validation": "train[:1]", "test": "train[:1]"}, "prompt", id="name"
)


def folder(path: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    for split, rows in splits.items():
        (path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows(split: str, count: int = 4) -> list[dict[str, Any]]:
    return [{"prompt": f"{split} post {number}", "completion": "short"} for number in range(count)]


def good() -> dict[str, list[dict[str, Any]]]:
    return {split: rows(split) for split in SPLITS}


def test_slices_are_taken_in_order_and_names_follow_the_text(tmp_path: Path) -> None:
    loaded = load(POSTS, folder(tmp_path, good()))
    assert [row.fields["prompt"] for row in loaded.rows["train"]] == [f"train post {n}" for n in range(3)]
    assert [len(loaded.rows[split]) for split in SPLITS] == [3, 2, 2]
    assert loaded.rows["train"][0].id != loaded.rows["train"][1].id
    assert loaded.notes() == ()


def test_the_tasks_filter_leaves_rows_out_without_a_word(tmp_path: Path) -> None:
    loaded = load(POSTS, folder(tmp_path, good()), keep=lambda fields: not fields["prompt"].endswith("1"))
    assert [row.fields["prompt"] for row in loaded.rows["train"]] == ["train post 0", "train post 2"]
    assert loaded.dropped == ()


def test_two_splits_other_than_train_may_be_the_same_rows(tmp_path: Path) -> None:
    named = [{"prompt": f"post {number}", "name": f"n{number}"} for number in range(3)]
    loaded = load(NAMED, folder(tmp_path, {"train": named}))
    assert [row.id for row in loaded.rows["train"]] == ["n1", "n2"]
    assert loaded.rows["validation"] == loaded.rows["test"]


BROKEN = {
    "missing field": ("train", {"prompt": "new"}, "train[:3] row 0 has no field 'completion' (it has: prompt)"),
    "null field": ("train", {"prompt": "new", "completion": None}, "train[:3] row 0 has no field 'completion'"),
    "empty": ("train", {"prompt": " \n", "completion": "c"}, "train[:3] row 0 has an empty field 'prompt'"),
    "no text": ("train", {"prompt": ["a"], "completion": "c"}, "train[:3] row 0 has a field 'prompt' that is list"),
    "twice": ("train", {"prompt": "train  post 1", "completion": "c"}, "train[:3] row 1 repeats train[:3] row 0"),
    "overlap": ("test", {"prompt": "train post 1 ", "completion": "c"}, "test[:2] row 0 repeats train[:3] row 1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_row_that_cannot_be_used_is_named_or_dropped(tmp_path: Path, name: str) -> None:
    split, row, message = BROKEN[name]
    splits = good()
    if name == "no text":  # A column has one type in all files.
        splits = {each: [row] for each in SPLITS}
    else:
        splits[split] = [row, *splits[split][1:]]
    place = folder(tmp_path, splits)
    with pytest.raises(ConfigError) as error:
        load(POSTS, place)
    assert message in str(error.value)
    assert "task.bad_rows = drop" in str(error.value)
    if name == "no text":
        with pytest.raises(ConfigError, match="no usable rows"):
            load(POSTS, place, bad_rows="drop")
        return
    loaded = load(POSTS, place, bad_rows="drop")
    assert [len(loaded.rows[each]) for each in SPLITS] == [3 - (split == "train"), 2, 2 - (split == "test")]
    (note,) = loaded.notes()
    assert note.startswith(f"dropped 1 rows of the data set: {message.split(' (it has')[0]}")


def test_messages_name_the_place_that_was_read(tmp_path: Path) -> None:
    place = folder(tmp_path, {**good(), "train": [{"prompt": "new"}]})
    with pytest.raises(ConfigError, match=f"data set '{place}'"):
        load(POSTS, place)
    with pytest.raises(ConfigError, match=r"is a file\. Name its folder"):
        load(POSTS, str(Path(place) / "train.jsonl"))
    short = tmp_path / "short"
    short.mkdir()
    with pytest.raises(ConfigError, match=r"it has no row 1, where the slice begins"):
        load(NAMED, folder(short, {"train": [{"prompt": "one", "name": "n"}]}))


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    named = [{"prompt": f"post {number}", "name": "n"} for number in range(3)]
    with pytest.raises(ConfigError, match=r"train\[1:\] row 2 repeats train\[1:\] row 1 \(the same id\)"):
        load(NAMED, folder(tmp_path, {"train": named}))


def test_a_data_set_that_cannot_be_read_is_one_line_with_two_ways_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(POSTS, str(tmp_path))
    message = str(error.value)
    assert "\n" not in message
    assert "task.source = mini" in message
    assert "task.data = a local folder" in message


def test_a_file_that_is_no_jsonl_is_named_with_its_line(tmp_path: Path) -> None:
    place = folder(tmp_path, good())
    (tmp_path / "test.jsonl").write_text('{"prompt": "a", "completion": "b"}\n{broken\n')
    with pytest.raises(ConfigError, match=r"cannot be read: test\.jsonl line 2: Expecting property name"):
        load(POSTS, place)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    place = folder(tmp_path, good())
    for split in SPLITS:
        (tmp_path / f"{split}.jsonl").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be read: test\.jsonl is empty"):
        load(POSTS, place)


def test_rows_of_a_slice_are_counted_from_the_first_of_the_split(tmp_path: Path) -> None:
    splits = {**good(), "test": [*rows("test"), {"prompt": " ", "completion": "c"}]}
    later = DataSet("somebody/posts", {"train": "train", "validation": "test[:2]", "test": "test[2:5]"}, "prompt")
    with pytest.raises(ConfigError, match=r"test\[2:5\] row 4 has an empty field"):
        load(later, folder(tmp_path, splits))
