"""Every tracker shows what metrics.jsonl holds, each update once, also after a kill; and nothing else changes."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from collm.config import TrainConfig, comparable, resolve
from collm.errors import ConfigError
from collm.presets import merged
from collm.training.metrics import read, without_time
from collm.training.run import resume, train
from collm.training.run_folder import RunFolder
from collm.training.trackers.protocol import numbers_of

TINY: dict[str, Any] = {
    "task": {"turns": 2, "max_length": 2, "train_size": 6, "validation_size": 2, "test_size": 2},
    "env_steps": 16,
    "rollout": {"problems": 2},
    "sampling": {"max_new_tokens": 8},
    "critic": {"warmup_updates": 1},
    "evaluation": {"every": 3, "validation_problems": 2, "test_problems": 2},
    "run": {"checkpoint_every": 2, "threads": 1},
}
UPDATES = 4
INSTALLED = [name for name in ("tensorboard", "wandb", "trackio") if find_spec(name)]
PICTURES = {"before_after", "curves"}


def tiny(*trackers: str, **run: Any) -> TrainConfig[Any]:
    return resolve("str-build", values=merged(TINY, {"run": {"trackers": list(trackers), **run}}))


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The libraries read these when they are first imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        yield


@pytest.fixture(scope="module")
def untracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("untracked") / "run"
    train(tiny(), run)
    return run


def expected(run: Path) -> dict[int, dict[str, float]]:
    """Env steps → the numbers that are shown there, from the run's own files."""
    summary = json.loads((run / "summary.json").read_text())
    records = read(run / "metrics.jsonl")
    assert [record["update"] for record in records] == list(range(1, UPDATES + 1))
    shown = {record["env_steps"]: numbers_of(record) for record in records}
    raw = json.loads((run / "raw.json").read_text())
    assert raw["sampled"]["score"] == summary["raw_decodings"]["sampled"]["score"]
    shown[0] = numbers_of({"raw": summary["raw_decodings"]})
    shown[records[-1]["env_steps"]] |= numbers_of(
        {"trained": summary["trained_decodings"], "changes": summary["changes"]}
    )
    return shown


Found = tuple[dict[int, dict[str, float]], list[tuple[int, str]]]
"""Env steps → numbers; and every (env steps, name) as often as it is there, pictures included."""


def tensorboard(run: Path) -> Found:
    """As TensorBoard itself reads the folder, in 32 bits."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0, "scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    assert "config/text_summary" in tags["tensors"]
    text = make_ndarray(events.Tensors("config/text_summary")[0].tensor_proto)
    assert b"task_name: str-build" in text.item()
    points = [(e.step, name, e.value) for name in tags["scalars"] for e in events.Scalars(name)]
    images = [(e.step, name) for name in tags["images"] for e in events.Images(name)]
    return _table(points), [point[:2] for point in points] + images


def wandb(run: Path) -> Found:
    """From the one file that W&B keeps offline: records in LevelDB's log format, as `wandb sync` reads them."""
    from wandb.proto.wandb_internal_pb2 import Record

    [path] = (run / "wandb").glob("offline-run-*/run-*.wandb")
    points, names, updates = [], [], []
    for data in _leveldb_records(path.read_bytes()):
        record = Record.FromString(data)
        if record.WhichOneof("record_type") == "run":
            config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            assert config["task_name"] == "str-build"
            assert record.run.run_id == json.loads((run / "trackers.json").read_text())["id"]
        if record.WhichOneof("record_type") != "history":
            continue
        items = [(item.nested_key or [item.key], json.loads(item.value_json)) for item in record.history.item]
        [step] = [value for key, value in items if list(key) == ["env_steps"]]
        updates.append(record.history.step.num)
        # A picture is an object of several items, one of which says that it is one.
        names += [(step, key[0]) for key, value in items if value == "image-file"]
        own = [(step, "/".join(key), value) for key, value in items if key[0] not in PICTURES and key[0][0] != "_"]
        names += [point[:2] for point in own]
        points += own
    assert updates == list(range(UPDATES + 1))
    shown = _table(points)
    assert shown[0].pop("env_steps") == 0
    return shown, names


def _leveldb_records(data: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log: behind W&B's 7 bytes, blocks of 32 KiB; before each part checksum, length, kind."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def trackio(run: Path) -> Found:
    """From trackio's local store."""
    from trackio.sqlite_storage import SQLiteStorage

    name = f"{run.name}-{json.loads((run / 'trackers.json').read_text())['id']}"
    [record] = [one for one in SQLiteStorage.get_run_records("collm") if one["name"] == name]
    config = SQLiteStorage.get_run_config("collm", name, run_id=record["id"])
    assert config is not None
    assert config["task_name"] == "str-build"
    rows = SQLiteStorage.get_logs("collm", name, run_id=record["id"], max_points=None)
    every = [
        (row["step"], key, value) for row in rows for key, value in row.items() if key not in ("step", "timestamp")
    ]
    return _table([point for point in every if not isinstance(point[2], dict)]), [point[:2] for point in every]


READERS = {"tensorboard": tensorboard, "wandb": wandb, "trackio": trackio}


def _table(points: list[tuple[int, str, float]]) -> dict[int, dict[str, float]]:
    table: dict[int, dict[str, float]] = {}
    for step, name, value in points:
        table.setdefault(step, {})[name] = value
    return table


def assert_shows_all_once(run: Path, name: str) -> None:
    shown, points = READERS[name](run)
    wanted = expected(run)
    if name == "tensorboard":
        wanted = {step: {key: float(np.float32(value)) for key, value in own.items()} for step, own in wanted.items()}
    assert shown == wanted
    assert len(points) == len(set(points))
    assert {key for _, key in points if key in PICTURES} == PICTURES


def test_trackers_show_what_metrics_jsonl_holds_and_change_nothing(untracked: Path, tmp_path: Path) -> None:
    train(tiny(*INSTALLED), tmp_path / "run")
    for name in INSTALLED:
        assert_shows_all_once(tmp_path / "run", name)
    assert without_time(read(tmp_path / "run" / "metrics.jsonl")) == without_time(read(untracked / "metrics.jsonl"))


def test_killed_and_resumed_each_update_is_shown_once(untracked: Path, tmp_path: Path) -> None:
    """The kill comes after update 3, of which the checkpoint of update 2 knows nothing."""
    run, config = tmp_path / "run", tmp_path / "tiny.yaml"
    config.write_text(json.dumps(merged(TINY, {"run": {"trackers": INSTALLED, "project": "collm"}})))
    command = [
        sys.executable,
        "-m",
        "collm",
        "train",
        "str-build",
        "--quiet",
        "--config",
        str(config),
        "--out",
        str(run),
    ]
    # A child would else use the W&B process of this one, which would not notice that the child was killed.
    environment = {key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics, deadline = run / "metrics.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 3):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    resume(run)
    for name in INSTALLED:
        assert_shows_all_once(run, name)
    assert without_time(read(run / "metrics.jsonl")) == without_time(read(untracked / "metrics.jsonl"))


def test_a_finished_run_is_sent_afterwards_and_keeps_its_trackers(
    untracked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from collm.cli import run as command

    run = tmp_path / "run"
    shutil.copytree(untracked, run)
    assert command(["train", "--resume", str(run), "--run.trackers", *INSTALLED, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["updates"] == UPDATES
    for name in INSTALLED:
        assert_shows_all_once(run, name)
    assert RunFolder.open(run).read_config()["run"]["trackers"] == INSTALLED


def test_a_tracker_that_fails_is_reported_once_and_stops_nothing(
    untracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk for TensorBoard, and a dead process for W&B. (trackio reports its own failures, and raises none.)"""
    from torch.utils.tensorboard import RecordWriter

    right, calls, run = RecordWriter.write, iter(range(10**6)), tmp_path / "run"

    def full(self: Any, data: bytes) -> None:
        if next(calls) == 5:
            for child in psutil.Process().children(recursive=True):
                if "wandb-core" in child.name():
                    child.kill()
            raise OSError(errno.ENOSPC, "No space left on device")
        right(self, data)

    monkeypatch.setattr(RecordWriter, "write", full)
    notes = Notes()
    train(tiny("tensorboard", "wandb"), run, notes)
    with contextlib.suppress(ConnectionError):
        import_module("wandb").teardown()  # so that what comes later gets a process that lives
    for name in ("tensorboard", "wandb"):
        assert len([note for note in notes.notes if note.startswith(f"{name} failed") and str(run) in note]) == 1
    assert without_time(read(run / "metrics.jsonl")) == without_time(read(untracked / "metrics.jsonl"))


class Notes:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, title: str, total: int, done: int) -> None:
        pass

    def update(self, record: Any) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finish(self) -> None:
        pass


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_missing_package_is_named_before_anything_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"run\.trackers = {name} .*pip install 'collm\[{name}\]'"):
        train(tiny(name), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_wandb_without_a_login_says_what_to_do(tmp_path: Path) -> None:
    """In a process of its own: W&B reads its settings once."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "NETRC"))}
    program = "from collm.training.trackers.wandb import Wandb; Wandb.check()"
    command = [sys.executable, "-c", program]
    found = subprocess.run(
        command, cwd=tmp_path, env=environment | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    error = found.stderr.splitlines()[-1]
    assert error.startswith("collm.errors.ConfigError: wandb is not logged in. Run `wandb login`")
    assert "WANDB_MODE=offline" in error


def test_a_project_that_trackers_cannot_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"run\.project = 'my project' cannot name a project"):
        tiny(project="my project")


def test_unknown_trackers_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"run\.trackers 'tensorbord'\. Did you mean 'tensorboard'"):
        tiny("tensorbord")


def test_where_a_run_is_shown_is_no_difference_between_runs() -> None:
    assert comparable(tiny("wandb", project="mine")) == comparable(tiny())
    other = dataclasses.replace(tiny(), seed=1)
    assert comparable(other) != comparable(tiny())
