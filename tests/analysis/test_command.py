"""``collm analyze game``: what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collm.cli import run


def test_it_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "study"
    assert run(["analyze", "game", "--quick", "--horizons", "2", "--json", "--out", str(out)]) == 0
    summary = json.loads(capsys.readouterr().out)
    rows = [json.loads(line) for line in (out / "raw.jsonl").read_text().splitlines()]
    assert summary["rows"] == len(rows)
    assert {row["kind"] for row in rows} == {"estimator", "drift", "convergence"}
    assert {row["horizon"] for row in rows} == {2}
    for name in ("table.md", "config.yaml", *summary["figures"]):
        assert (out / name).stat().st_size > 100
    assert len(summary["figures"]) == 8
    stale = [row for row in rows if row.get("values") == "stale" and row["lam"] == 0.0]
    assert stale
    assert all(row["bias2"] > 1e-12 for row in stale)


def test_one_part_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "drift"
    assert run(["analyze", "game", "--quick", "--parts", "drift", "--out", str(out)]) == 0
    assert "mean squared change" in capsys.readouterr().out
    assert [path.name for path in out.glob("*.png")] == ["figure-drift.png"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hidden", "1.5"], "at most 1"),
        (["--horizons", "9"], "at most 6"),
        (["--groups", "1"], "at least 2"),
        (["--convergence.episodes", "6"], "multiple of the group size 4"),
    ],
)
def test_bad_values(flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["analyze", "game", "--quick", "--out", str(tmp_path / "new"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run(["analyze", "game", "--quick", "--out", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["analyze"]) == 2
    assert run(["analyze", "--help"]) == 0
    assert "collm analyze game" in capsys.readouterr().out
