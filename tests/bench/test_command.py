"""``collm bench``: JSON, going on where it stopped, and wrong input."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from collm.cli import run

WORKS = ("maac_default", "maac_same_update", "iac", "magrpo")


def status(arguments: list[str]) -> int:
    try:
        return run(["bench", *arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.mark.slow
def test_our_rates_alone_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "bench"), "--quick", "--threads", "1", "--json", "--methods", "maac_same_update"]
    assert status([*out, "--rounds", "1", "--parts", "limits", "rates"]) == 0
    shown = capsys.readouterr().out
    found = json.loads(shown)
    assert shown.count("\n") == 1
    assert found["ratios"] == {}
    assert found["settings"]["threads"] == 1
    result = found["results"]["maac_same_update"]
    assert result["ours"]["env_steps_per_s"] > 0
    assert result["ours"]["peak_bytes"] > 1 << 20
    assert 0 < result["nearness"]["learning_of_fp32"] < 1
    assert (tmp_path / "bench" / "bench.json").exists()

    assert status([*out, "--rounds", "1", "--parts", "rates"]) == 0
    again = json.loads(capsys.readouterr().out)["results"]["maac_same_update"]
    assert again["ours"] == result["ours"]

    assert status([*out, "--rounds", "2", "--parts", "rates"]) == 2
    assert "not a study with these settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "here"], "--env means something only with --vs comlrl"),
        (["--sweep-theirs"], "--sweep-theirs means something only with --vs comlrl"),
        (["--shape", "Qwen3-17B"], "Did you mean 'Qwen3-1.7B'?"),
        (["--ours", "run.token_budget"], "expected KEY=VALUE"),
        (["--vs", "comlrl", "--env", "nowhere"], "there is no nowhere"),
        (["--device", "cuda"], "no CUDA device"),
        (["--target-budget", "0"], "must be above 0"),
        (["--methods"], "--methods"),
        (["--sweeps"], "--sweeps"),
        (["--ours", "run.tokenbudget=3"], "Did you mean 'run.token_budget'"),
        (["--target-ours", "rollout.problems"], "--target-ours rollout.problems: expected KEY=VALUE"),
    ],
)
def test_wrong_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(arguments) in (1, 2)
    shown = capsys.readouterr()
    assert message in " ".join((shown.err + shown.out).split())
    assert "Traceback" not in shown.err


@pytest.mark.slow
@pytest.mark.skipif("COLLM_BENCH_ENV" not in os.environ, reason="COLLM_BENCH_ENV names no environment with CoMLRL")
def test_both_sides_do_equal_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--quick", "--rounds", "2", "--threads", "1", "--memory-shape", "0.8M", "--json"]
    target = ["--target", "45", "--target-budget", "60", "--target-lrs", "0.001"]
    vs = ["--vs", "comlrl", "--env", os.environ["COLLM_BENCH_ENV"], "--out", str(tmp_path / "bench")]
    assert status([*vs, *sizes, *target, "--parts", "rates", "memory", "target"]) == 0
    found = json.loads(capsys.readouterr().out)
    for name in (*WORKS, "memory", "time_to_target"):
        ratio = found["ratios"][name]
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
    for name in WORKS:
        result = found["results"][name]
        assert result["ours"]["rounds"][0]["generated_tokens"] == result["theirs"]["rounds"][0]["generated_tokens"]
