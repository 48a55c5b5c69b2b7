"""Baselines as people meet them: one table, the numbers of ``collm eval`` for a trained team, errors in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collm.cli import run
from collm.evaluation.baselines import measure
from collm.evaluation.evaluate import evaluate
from collm.models.policy import Policy
from collm.rollout.protocols import PROTOCOLS
from collm.rollout.sampling import Sampling
from collm.tasks import Task
from collm.tasks.minecraft.str_build import StrBuild

SMALL = ["--problems", "3", "--task.turns", "2", "--sampling.max-new-tokens", "8", "--threads", "1"]


def baseline(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["baseline", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def without_time(found: dict[str, Any]) -> list[dict[str, Any]]:
    for row in found["rows"]:
        for decoding in ("sampled", "greedy"):
            assert row[decoding].pop("seconds_per_problem") > 0
    return found["rows"]  # type: ignore[no-any-return]


def test_parallel_measures_what_evaluate_measures(four_turns: Task, team: list[Policy]) -> None:
    problems, sampling = four_turns.problems("test")[:3], Sampling(max_new_tokens=8)
    found = measure(PROTOCOLS["parallel"], four_turns, team, problems, sampling, ("k",))
    expected = evaluate(four_turns, team, problems, sampling, ("k",))
    assert found.summary() == expected.summary()
    assert found.cost.read.shape == found.cost.written.shape == (3, 2)
    np.testing.assert_array_equal(found.cost.read, expected.cost.read)
    np.testing.assert_array_equal(found.cost.written, expected.cost.written)
    assert expected.cost.seconds > 0
    low, high = found.in_full()["score_ci95"]
    assert low <= np.mean(expected.rows["score"]) <= high


def test_all_protocols_side_by_side_and_twice_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    found = baseline(capsys, "str-build", *SMALL)
    rows = without_time(found)
    assert [row["protocol"] for row in rows] == list(PROTOCOLS)
    assert [row["agents"] for row in rows] == [1, 2, 2, 2]
    assert [row["max_new_tokens"] for row in rows] == [16, 8, 8, 8]
    for row in rows:
        assert len(row["sampled"]["tokens_read"]) == len(row["sampled"]["tokens_written"]) == row["agents"]
        assert {"score", "paper_score", "final", "contribution", "score_ci95"} <= row["sampled"].keys()
    assert without_time(baseline(capsys, "str-build", *SMALL)) == rows


def test_raw_is_the_larger_model_on_the_writing_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["tldr", "--problems", "2", "--sampling.max-new-tokens", "4", "--protocol", "raw", "parallel"]
    raw, team = (row["model_hashes"] for row in baseline(capsys, *small, "--preset", "quick")["rows"])
    assert team == [team[0]] * 2
    assert raw != team[:1]
    assert baseline(capsys, *small, "--preset", "quick", "--model", "small")["rows"][1]["model_hashes"] == raw * 2
    assert baseline(capsys, *small)["rows"][0]["model_hashes"] == team[:1]
    assert run(["baseline", *small, "--model"]) == 2
    assert "model names 0 models" in capsys.readouterr().err


def test_a_trained_team_stands_beside_with_the_numbers_of_eval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    small = ["--env-steps", "4", "--rollout.problems", "2", "--evaluation.test-problems", "2", "--task.turns", "2"]
    assert run(["train", "str-build", *small, "--sampling.max-new-tokens", "8", "--quiet", "--out", out]) == 0
    capsys.readouterr()
    assert run(["eval", out, "--problems", "3", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    rows = baseline(capsys, "--run", out, "--protocol", "parallel", "--problems", "3")["rows"]
    assert [(row["protocol"], row["team"]) for row in rows] == [("parallel", "untrained"), ("parallel", out)]
    for decoding in ("sampled", "greedy"):
        evaluated[decoding].pop("seconds_per_problem")
        assert rows[1][decoding].items() >= evaluated[decoding].items()
    assert run(["baseline", "--run", out, "--model", "tiny", "tiny"]) == 2
    assert "--model cannot be used with --run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "pipline"], "unknown protocol 'pipline'. Did you mean 'pipeline'?"),
        (["--model", "tiny", "tiny", "tiny"], "model names 3 models; give one, or one for each of 2 agents"),
        (["--checkpoint", "update-00000001"], "--checkpoint needs --run"),
        (["--problems", "0"], "problems = 0: must be at least 1"),
        (["--preset", "quik"], "Did you mean 'quick'"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["baseline", "str-build", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_raw_needs_a_single_agent_form(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for by name it is an error; among all protocols it is left out with a line."""
    monkeypatch.setattr(StrBuild, "single_agent", Task.single_agent)
    assert run(["baseline", "str-build", *SMALL, "--protocol", "raw"]) == 2
    needs = "the task 'str-build' has no single-agent form, which 'raw' needs. Use a protocol for teams"
    assert needs in capsys.readouterr().err
    assert run(["baseline", "str-build", *SMALL, "--json"]) == 0
    shown = capsys.readouterr()
    assert f"raw left out: {needs}" in shown.err
    assert [row["protocol"] for row in json.loads(shown.out)["rows"]] == ["parallel", "pipeline", "discussion"]
