"""A run folder belongs to one run and to one process at a time, and its files are whole."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from collm.errors import ConfigError, RunExistsError
from collm.training.run_folder import RunFolder, default_path

_HOLDER = """
import sys, time
from pathlib import Path
from collm.training.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_new_run_has_its_places(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "deep" / "run")
    run.write_config({"seed": 3})
    assert run.checkpoints.is_dir()
    assert run.samples.is_dir()
    assert RunFolder.open(run.path).read_config() == {"seed": 3}


def test_an_existing_run_is_refused_with_the_two_ways_on(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.write_config({})
    (tmp_path / "run-2").mkdir()
    with pytest.raises(RunExistsError) as caught:
        RunFolder.create(run.path, task="str-build")
    assert f"collm train str-build --resume {run.path}" in str(caught.value)
    assert f"--out {tmp_path}/run-3" in str(caught.value)
    assert caught.value.exit_status == 2


def test_any_file_makes_a_folder_unfit_and_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    note = tmp_path / "sub" / "note.txt"
    note.write_text("mine")
    with pytest.raises(RunExistsError, match="exists and is not empty") as caught:
        RunFolder.create(tmp_path)
    assert note.read_text() == "mine"
    assert "--resume" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"cannot be made: .*Name another folder"):
        RunFolder.create(Path("/proc/no-such-folder"))
    with pytest.raises(RunExistsError, match="is a file"):
        RunFolder.create(note)


def test_a_run_killed_before_it_wrote_anything_can_begin_again(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    with run.lock():
        run.checkpoints.mkdir()
    assert RunFolder.create(run.path).path == run.path


def test_what_is_not_a_run_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such run folder"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"not a run folder: it has no config\.yaml"):
        RunFolder.open(tmp_path)
    (tmp_path / "config.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="not valid YAML"):
        RunFolder.open(tmp_path).read_config()
    (tmp_path / "config.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="found list"):
        RunFolder.open(tmp_path).read_config()


def test_a_configuration_comes_back_equal_and_in_order(tmp_path: Path) -> None:
    config = {"z": 1e-05, "a": {"rate": 0.1, "name": "ü", "none": None, "list": [1, 2.5, "1"]}, "word": "no"}
    run = RunFolder.create(tmp_path / "run")
    run.write_config(config)
    assert run.read_config() == config
    assert list(run.read_config()) == ["z", "a", "word"]


def test_a_json_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(tmp_path)
    run.write_json("summary.json", {"score": math.nan})
    assert json.loads(run.summary_path.read_text()) == {"score": None}

    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.write_json("summary.json", {"score": 1})
    assert json.loads(run.summary_path.read_text()) == {"score": None}


def test_default_paths_never_exist_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = []
    for _ in range(3):
        paths.append(default_path("str-build", "collm-cc", 4))
        paths[-1].mkdir(parents=True)
    assert [path.name for path in paths] == [f"str-build-collm-cc-seed4{end}" for end in ("", "-2", "-3")]
    assert {path.parent for path in paths} == {Path("runs")}


def test_a_second_holder_in_one_process_is_refused_and_release_frees_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with run.lock(), pytest.raises(RunExistsError, match=f"process {os.getpid()}"), run.lock():
        pass
    with pytest.raises(ValueError, match="mine"), run.lock():
        raise ValueError("mine")
    with run.lock():
        pass


def test_another_process_is_named_and_its_death_frees_the_run(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RunExistsError, match=f"is being written by process {holder.pid}"),
            RunFolder(tmp_path).lock(),
        ):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with RunFolder(tmp_path).lock():
        pass
