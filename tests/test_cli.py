"""The command: bad input names the nearest good one and exits with 2, JSON is one object, no traceback ever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from collm.cli import COMMANDS, run

FAST = [
    "train", "str-build", "--quiet", "--env-steps", "4", "--rollout.problems", "2", "--sampling.max-new-tokens", "8",
    "--task.turns", "2", "--evaluation.test-problems", "2", "--evaluation.every", "0",
]  # fmt: skip


def status(arguments: list[str]) -> int:
    """The exit status, whether the command returns it or the parser exits with it."""
    try:
        return run(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["trian"], "'train'"),
        (["train", "str-bild"], "'str-build'"),
        (["train", "str-build", "--method", "coll-cc"], "'collm-cc'"),
        (["train", "str-build", "--preset", "quik"], "'quick'"),
        (["train", "str-build", "--task.wrold", "fresh"], "--task.world"),
        (["train", "str-build", "--task.world", "frseh"], "'fresh'"),
        (["play", "str-bild"], "'str-build'"),
        (["play", "str-build", "--problm", "HI"], "--problem"),
        (["eval", "nowhere", "--splt", "test"], "--split"),
    ],
)
def test_unknown_names(arguments: list[str], nearest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(arguments) == 2
    shown = capsys.readouterr()
    assert nearest in shown.err + shown.out
    assert "Traceback" not in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy.lr", "3"], "policy.lr = 3.0: must be above 0 and at most 1"),
        (["--task.agents", "5"], "task.agents = 5: must be at least 1 and at most 4"),
        (["--task.turns", "0"], "task.turns = 0: must be at least 1 and at most 8"),
        (["--task.train-words", "AB", "Ä1"], "outside the font: '1', 'Ä'"),
        (["--policy.loss", "policy-gradient", "--policy.epochs", "2"], "allows one step on one pass over a batch"),
        (["--task.world", "fresh", "--task.reward", "terminal"], "task.world = persistent"),
        (["--run.device", "cuda"], "no CUDA device"),
        (["--model", "no/such/model/here"], "the model 'no/such/model/here' cannot be loaded"),
        (["--resume", "nowhere"], "nowhere: there is no such run folder"),
    ],
)
def test_values_out_of_range(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [] if "--resume" in arguments else ["--out", str(tmp_path / "run")]
    assert status(["train", "str-build", *arguments, *out]) in (1, 2)
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("polciy: {lr: 0.1}", "Did you mean 'policy'?"),
        ("policy: {lrate: 0.1}", "Did you mean 'policy.lr'?"),
        ("task: {wrld: fresh}", "Did you mean 'task.world'?"),
        ("seed: zero", "seed = 'zero': expected int"),
        ("[1, 2]", "expected keys and values"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_bad_files(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    assert status(["train", "str-build", "--config", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_flags_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    from collm.commands.train import _parsed

    path = tmp_path / "file.yaml"
    path.write_text("seed: 5\npolicy: {lr: 0.01, clip: 0.3}\ntask: {turns: 3}\n")
    found = _parsed(["str-build", "--preset", "quick", "--config", str(path), "--policy.clip", "0.4"]).settings
    quick = _parsed(["str-build", "--preset", "quick"]).settings
    assert (found.seed, found.policy.lr, found.policy.clip, found.task.turns) == (5, 0.01, 0.4, 3)
    assert found.rollout == quick.rollout
    assert found.preset == "quick"


def test_train_eval_play_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    assert status([*FAST, "--json", "--out", out]) == 0
    shown = capsys.readouterr().out
    summary = json.loads(shown)
    assert shown.count("\n") == 1
    assert {"run", "env_steps", "seconds", "raw", "trained", "improvement"} <= summary.keys()
    for team in (summary["raw"], summary["trained"]):
        assert {"final", "iou", "score", "contribution"} <= team.keys()
    assert summary["env_steps"] >= 4
    assert len(summary["improvement"]["ci95"]) == 2
    for name in ("config.yaml", "metrics.jsonl", "summary.json", "curves.png", "before_after.png"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    assert len(list((tmp_path / "run" / "samples" / "after").glob("*.png"))) == 2

    assert status(["eval", out, "--problems", "2", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["sampled"]["problems"] == measured["greedy"]["problems"] == 2
    assert min(measured["sampled"]["tokens_written"]) > 0
    assert status(["eval", out, "--problems", "2"]) == 0
    assert "tokens by agent 1" in capsys.readouterr().out

    assert status(["play", "str-build", "--run", out, "--problem", "hi", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problem"] == "HI"

    assert status([*FAST, "--out", out]) == 2
    refusal = capsys.readouterr().err
    assert f"--resume {out}" in refusal
    assert "--out" in refusal

    assert status(["train", "str-build", "--resume", out, "--policy.lr", "0.1"]) == 2
    assert "a run keeps its configuration" in capsys.readouterr().err


def test_play_shows_the_best_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["play", "str-build", "--team", "best", "--problem", "HI"]) == 0
    shown = capsys.readouterr().out
    assert "agent 0" in shown
    assert "agent 1" in shown
    assert "score 100.0 of 100" in shown
    assert status(["play", "str-build", "--team", "best", "--problem", "H1"]) == 2
    assert "outside the font" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["tasks", "methods"])
def test_lists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status([command, "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)[command]]
    assert {"tasks": "str-build", "methods": "collm-cc"}[command] in names


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        assert status([command, "--help"]) == 0
        assert "usage: collm" in capsys.readouterr().out


AT_ONCE = ("train", "eval", "compare", "report", "play", "export", "baseline", "serve", "doctor", "tasks", "methods")
"""Commands whose help, and whose refusal of a mistyped option, does not wait for torch."""
LOADED = """
import contextlib, io, sys
from collm.cli import run
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    for arguments in ([sys.argv[1], "--help"], [sys.argv[1], "--mistyped"]):
        with contextlib.suppress(SystemExit):
            run(arguments)
print("loaded:", *({"torch", "transformers", "scipy", "matplotlib"} & sys.modules.keys()))
"""


def test_help_and_refusals_come_at_once() -> None:
    processes = {
        name: subprocess.Popen([sys.executable, "-c", LOADED, name], stdout=subprocess.PIPE, text=True)
        for name in AT_ONCE
    }
    said = {name: process.communicate()[0].strip() for name, process in processes.items()}
    assert said == dict.fromkeys(AT_ONCE, "loaded:")
