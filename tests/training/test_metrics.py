"""The metrics file: valid lines, an offset a checkpoint can trust, and a cut that leaves nothing torn."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collm.errors import CheckpointError
from collm.training.metrics import MetricsLog, read, without_time


@pytest.fixture
def log(tmp_path: Path) -> MetricsLog:
    return MetricsLog(tmp_path / "metrics.jsonl")


def test_records_come_back_in_order(log: MetricsLog) -> None:
    records = [{"update": 1, "score": 0.1 + 0.2}, {"update": 2, "nested": {"list": [1, None, "ü\u2028"]}}]
    for record in records:
        log.append(record)
    assert read(log.path) == records


def test_what_is_not_finite_becomes_null_and_every_line_is_valid_json(log: MetricsLog) -> None:
    log.append({"loss": math.nan, "kl": [math.inf, np.float32("-inf")], "n": np.int64(3), "x": np.float32(0.5)})
    [line] = log.path.read_text().splitlines()
    record = json.loads(line, parse_constant=lambda word: pytest.fail(f"not JSON: {word}"))
    assert record == {"loss": None, "kl": [None, None], "n": 3, "x": 0.5}


def test_the_offset_counts_complete_lines_only(log: MetricsLog) -> None:
    assert log.offset == 0
    log.append({"update": 1, "text": "x" * 10_000})
    whole = log.path.stat().st_size
    assert log.offset == log.sync() == whole
    with log.path.open("a") as file:
        file.write('{"update": 2, "text": "' + "y" * 10_000)
    assert log.offset == whole
    assert [record["update"] for record in read(log.path)] == [1]


def test_appending_after_a_torn_line_does_not_glue_two_lines_together(log: MetricsLog) -> None:
    log.append({"update": 1})
    with log.path.open("a") as file:
        file.write('{"upd')
    MetricsLog(log.path).append({"update": 2})
    assert read(log.path) == [{"update": 1}, {"update": 2}]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(total=st.integers(0, 6), kept=st.integers(0, 6), torn=st.binary(max_size=20))
def test_cut_back_and_continued_equals_never_interrupted(tmp_path: Path, total: int, kept: int, torn: bytes) -> None:
    kept = min(kept, total)
    path = tmp_path / "metrics.jsonl"
    path.unlink(missing_ok=True)
    log, offsets = MetricsLog(path), [0]
    for update in range(total):
        log.append({"update": update, "x": 1 / (update + 1)})
        offsets.append(log.offset)
    uninterrupted = path.read_bytes()
    path.write_bytes(uninterrupted + torn.replace(b"\n", b""))
    resumed = MetricsLog(path)
    resumed.truncate(offsets[kept])
    for update in range(kept, total):
        resumed.append({"update": update, "x": 1 / (update + 1)})
    assert path.read_bytes() == uninterrupted


def test_a_file_shorter_than_the_checkpoint_expects_is_refused_untouched(log: MetricsLog) -> None:
    log.append({"update": 1})
    content = log.path.read_bytes()
    with pytest.raises(CheckpointError, match=f"metrics.jsonl has {len(content)} bytes.*it had 500"):
        log.truncate(500)
    assert log.path.read_bytes() == content


def test_an_offset_inside_a_line_is_refused_untouched(log: MetricsLog) -> None:
    log.append({"update": 1})
    content = log.path.read_bytes()
    with pytest.raises(CheckpointError, match="no line end at byte 5"):
        log.truncate(5)
    assert log.path.read_bytes() == content


def test_a_broken_line_in_the_middle_is_named(log: MetricsLog) -> None:
    log.path.write_text('{"update": 1}\n{"upd\n{"update": 3}\n')
    with pytest.raises(CheckpointError, match="line 2, was altered"):
        read(log.path)


def test_a_missing_file_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is missing"):
        read(tmp_path / "metrics.jsonl")


def test_equal_runs_are_equal_without_the_time() -> None:
    first, second = ({"update": 1, "score": 2.0, "time": {"seconds": seconds}} for seconds in (1.0, 2.0))
    assert without_time([first]) == without_time([second]) == [{"update": 1, "score": 2.0}]
