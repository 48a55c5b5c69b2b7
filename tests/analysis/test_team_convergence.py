"""Trainings of a study: which ones there are, what counts as failed, and runs that are not run twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collm.analysis.team_convergence import TeamConvergenceSettings, arms, outcome, together
from collm.analysis.trainings import trained, with_method
from collm.cli import run
from collm.config import TrainConfig, resolve
from collm.errors import ConfigError
from collm.evaluation.stats import wilson
from collm.training.run import train

TRAIN = {"env_steps": 4, "rollout.problems": 2, "evaluation.test_problems": 2, "evaluation.every": 0}


def small(method: str = "mareinforce") -> TrainConfig[Any]:
    values = {"task": {"turns": 2}, "sampling": {"max_new_tokens": 8}, "run": {"threads": 1}}
    return with_method(resolve("str-build", "collm-cc", "quick", values), method, TRAIN)


def test_arms_are_methods_at_every_lambda_or_group_with_as_many_episodes() -> None:
    settings = TeamConvergenceSettings(("collm-dc", "magrpo", "mareinforce"), lams=(0.0, 1.0), groups=(2, 8))
    config = resolve("str-build", "collm-cc", "quick", {"task": {"turns": 2}, "credit": {"gamma": 0.9}})
    found = list(arms(settings, config, {"env_steps": 96}))
    names = [(label["estimator"], label["lam"], label["group"]) for label, _ in found]
    assert names == [
        ("collm-dc", 0.0, None),
        ("collm-dc", 1.0, None),
        ("magrpo", None, 2),
        ("magrpo", None, 8),
        ("mareinforce", None, 4),
    ]
    for _, arm in found:
        assert arm.rollout.problems * arm.rollout.samples == config.rollout.problems
        assert (arm.task.turns, arm.credit.gamma, arm.env_steps) == (2, 0.9, 96)
    assert [arm.credit.lam for _, arm in found[:2]] == [0.0, 1.0]


def test_a_single_model_is_no_team() -> None:
    with pytest.raises(ConfigError, match="not a team"):
        with_method(resolve("str-build"), "grpo", {})


def test_failure_and_the_steps_to_the_threshold_by_hand() -> None:
    """From 20 to 39 of 100 is 23.75 % of the gap; the threshold is 40, which the smoothed scores pass at the third step."""
    summary = {"raw": {"score": 20.0}, "trained": {"score": 39.0}}
    records = [{"env_steps": 10 * (i + 1), "score": score} for i, score in enumerate([20.0, 35.0, 50.0, 65.0])]
    found = outcome(summary, records, 0.25)
    assert found["closed"] == pytest.approx(0.2375)
    assert found["failed"]
    assert found["reached"] == 30
    assert outcome(summary, records[:1], 0.25)["reached"] is None
    assert not outcome(summary, records, 0.2)["failed"]


def test_runs_together_by_hand() -> None:
    """Two of four fail; the median of 10, 30 and two that never came is between 30 and never: never."""
    runs = [
        {"failed": f, "closed": c, "reached": r}
        for f, c, r in [(0, 0.5, 10), (0, 0.4, 30), (1, 0.1, None), (1, 0, None)]
    ]
    assert together(runs) == {"seeds": 4, "failed": 0.5, "closed": 0.25, "arrived": 2, "reached": None}
    assert together(runs[:3])["reached"] == 30


def test_intervals_of_few_seeds_by_hand() -> None:
    """Wilson: with no failure the upper end is z²/(n + z²) = 3.841459/(n + 3.841459)."""
    for count in (3, 10):
        low, high = wilson(0.0, count)
        assert low == 0.0
        assert high == pytest.approx(3.841459 / (count + 3.841459))
    assert wilson(1.0, 3)[0] == pytest.approx(1 - 3.841459 / 6.841459)


@pytest.mark.slow
def test_a_finished_run_is_read_and_an_unfinished_one_goes_on(tmp_path: Path) -> None:
    config, out = small(), tmp_path / "run"
    first = trained(config, out)
    written = (out / "metrics.jsonl").stat().st_mtime_ns
    assert trained(config, out) == json.loads((out / "summary.json").read_text())
    assert (out / "metrics.jsonl").stat().st_mtime_ns == written
    (out / "summary.json").unlink()
    assert trained(config, out)["trained"] == first["trained"]
    with pytest.raises(ConfigError, match="other settings"):
        trained(small("magrpo"), out)
    assert first["trained"] == train(config, tmp_path / "alone")["trained"]


FLAGS = ["--quick", "--preset", "quick", "--set", "task.turns=2", "sampling.max_new_tokens=8"]
STUDY = "--parts drift convergence --drift.method mareinforce --convergence.methods mareinforce --convergence.seeds 0"


@pytest.mark.slow
def test_the_command_measures_both_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "study"
    flags = [
        "analyze",
        "str-build",
        *FLAGS,
        *STUDY.split(),
        "--vary",
        "task.feedback=position",
        "--json",
        "--out",
        str(out),
    ]
    assert run(flags) == 0
    summary = json.loads(capsys.readouterr().out)
    rows = [json.loads(line) for line in (out / "raw.jsonl").read_text().splitlines()]
    assert {row["kind"] for row in rows} == {"drift-history", "drift", "training", "convergence"}
    assert {row["variation"] for row in rows} == {"feedback position"}
    (drift,) = [row for row in rows if row["kind"] == "drift"]
    assert drift["compared"] == drift["histories"]
    first_turns = [row for row in rows if row["kind"] == "drift-history" and row["turn"] == 0]
    assert all(row["own"] == [pytest.approx(row["joint"])] * 2 for row in first_turns)
    (share,) = [row for row in rows if row["kind"] == "convergence"]
    assert share["failed"] == sum(row["failed"] for row in rows if row["kind"] == "training")
    assert summary["figures"] == ["figure-drift.png", "figure-convergence.png"]
    runs = sorted((out / "runs" / "feedback-position").iterdir())
    assert len(runs) == 1
    before = [(path / "metrics.jsonl").stat().st_mtime_ns for path in runs]
    raw = (out / "raw.jsonl").read_text()
    assert run(flags) == 0
    assert [(path / "metrics.jsonl").stat().st_mtime_ns for path in runs] == before
    assert (out / "raw.jsonl").read_text() == raw


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--train", "env_steps=9"], "none is asked for"),
        (["--parts", "drift", "--train", "task.turns=2"], "belong into --set"),
        (["--parts", "drift", "--train", "policy.rl=1"], "policy.lr"),
        (["--parts", "drift", "--drift.method", "magrop"], "magrpo"),
        (["--parts", "drift", "--drift.method", "ac"], "not a team"),
        (["--parts", "drift", "--drift.continuations", "1"], "at least 2"),
        (["--parts", "convergence", "--convergence.methods"], "at least one value"),
        (["--parts", "convergence", "--convergence.groups", "1"], "rollout.samples = 1"),
        (["--parts", "convergence", "--run", "nowhere"], "no such run"),
    ],
)
def test_bad_values(flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new"
    assert run(["analyze", "str-build", "--quick", "--out", str(out), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
