"""``collm compare`` as a person runs it: cells, an interruption, more seeds, a report; and ``collm report`` of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collm import cli
from collm.comparison.runner import Runner
from collm.comparison.study import Cell, read_study, simple, to_yaml
from collm.training.run_folder import RunFolder

CONFIG = """
task: {train_size: 16, validation_size: 4, test_size: 6, turns: 2, max_length: 2}
rollout: {problems: 4}
sampling: {max_new_tokens: 8}
critic: {warmup_updates: 0}
policy: {gradient_signal: true}
"""


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    (tmp_path / "small.yaml").write_text(CONFIG)
    return ["compare", "str-build", "--preset", "quick", "--env-steps", "16", "--config", str(tmp_path / "small.yaml")]


def test_a_comparison_from_beginning_to_report(
    tmp_path: Path, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = [*small, "--methods", "collm-cc", "raw", "--out", str(out), "--json"]
    assert cli.run([*command, "--seeds", "1", "--no-report"]) == 0
    assert not (out / "report").exists()
    first = (out / Cell("str-build", "collm-cc", 0).path / "record.json").read_bytes()
    found = json.loads(first)
    assert (
        found["conditions"]["problems"]
        == len(found["after"]["per_problem"])
        == len(found["before"]["per_problem"])
        == 6
    )
    assert found["env_steps"] >= 16
    assert all(tokens > 0 for tokens in found["after"]["sampled"]["tokens_written"])
    assert "gradient_signal" in found["curve"]

    # An interrupted cell goes on; a finished one is left as it is.
    cell = out / Cell("str-build", "collm-cc", 1).path
    capsys.readouterr()
    assert cli.run([*command, "--seeds", "2"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {arm: said["scores"]["str-build"][arm]["seeds"] for arm in ("raw", "collm-cc")} == {"raw": 2, "collm-cc": 2}
    whole = json.loads((cell / "record.json").read_text())
    (cell / "record.json").unlink()
    assert cli.run([*command, "--seeds", "2", "--only", "str-build/collm-cc", "--no-report"]) == 0
    again = json.loads((cell / "record.json").read_text())
    assert again["after"]["per_problem"] == whole["after"]["per_problem"]
    assert (out / Cell("str-build", "collm-cc", 0).path / "record.json").read_bytes() == first
    page = (out / "report" / "report.html").read_text()
    assert "before training" in page
    assert "What every agent saw and wrote" in page

    # The same records as runs.
    capsys.readouterr()
    runs = [str(out / Cell("str-build", "collm-cc", seed).path) for seed in (0, 1)]
    assert cli.run(["report", *runs, "--out", str(tmp_path / "runs"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["str-build"]["collm-cc"]["seeds"] == 2
    assert "tokens per agent" in (tmp_path / "runs" / "report.html").read_text()


def test_a_cell_that_fails_does_not_stop_the_others(
    tmp_path: Path, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run = [*small, "--seeds", "1", "--out", str(out)]
    assert cli.run([*run, "--methods", "raw"]) == 0
    blocked = out / Cell("str-build", "magrpo", 0).path
    blocked.mkdir(parents=True)
    (blocked / "notes.txt").write_text("somebody's own")
    assert cli.run([*run, "--methods", "raw", "magrpo"]) == 1
    said = capsys.readouterr().err
    assert "failed: str-build/magrpo" in said
    assert "exists and is not empty" in said
    assert (blocked / "notes.txt").read_text() == "somebody's own"
    study = read_study(out / "study.yaml")
    states = {cell.arm: Runner(study, out, study.cells()).status(cell).state for cell in study.cells()}
    assert states == {"raw": "finished", "magrpo": "missing"}


def test_what_the_system_refuses_fails_one_cell(tmp_path: Path, small: list[str]) -> None:
    """A log that cannot be written, say; the next cell is played all the same."""
    out = tmp_path / "out"
    first, second = (Cell("str-build", "raw", seed) for seed in (0, 1))
    log = (out / first.path).with_name("seed-0.log")
    log.mkdir(parents=True)
    (out / "study.yaml").write_text(to_yaml(simple(["str-build"], ["raw"], 2, 16, "quick", {})))
    assert cli.run([*small, "--methods", "raw", "--seeds", "2", "--out", str(out), "--no-report"]) == 1
    study = read_study(out / "study.yaml")
    runner = Runner(study, out, [first, second])
    assert [runner.status(cell).state for cell in (first, second)] == ["missing", "finished"]
    said: list[str] = []
    runner.run(1, lambda _, status: said.append(status.reason))
    assert said == [f"Is a directory: {log}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name at least one task"),
        (["str-bild"], "Did you mean 'str-build'"),
        (["tldr", "--methods", "magrp"], "Did you mean 'magrpo'"),
        (["tldr", "--only", "tldr/raw"], "there is no such cell"),
        (["tldr", "--only"], "--only names none"),
        (["tldr", "--methods"], "--methods names none"),
        (["--study", "nowhere.yaml"], "there is no file nowhere.yaml"),
        (["tldr", "--study", "nowhere.yaml"], "cannot be used with --study"),
        (["tldr", "--env-steps", "0"], "at least 1"),
    ],
)
def test_bad_commands(tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["compare", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "name at least one run"), (["nowhere"], "no such run folder"), (["."], "not a run folder")],
)
def test_bad_reports(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["report", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_second_comparison_in_the_same_folder_changes_nothing(
    tmp_path: Path, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.run([*small, "--methods", "raw", "--seeds", "1", "--out", str(out), "--no-report"]) == 0
    plan = (out / "study.yaml").read_bytes()
    with RunFolder(out).lock():
        assert cli.run([*small, "--methods", "raw", "magrpo", "--out", str(out)]) != 0
    assert "is being written by process" in capsys.readouterr().err
    assert (out / "study.yaml").read_bytes() == plan


def test_a_file_in_the_place_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.run(["compare", "tldr", "--methods", "raw", "--out", str(tmp_path / "file")]) == 2
    assert "is a file, not a folder. Name another folder: --out" in capsys.readouterr().err
