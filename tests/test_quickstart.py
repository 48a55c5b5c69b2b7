"""What the quickstart promises, on the real preset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collm.cli import run


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_quick_preset_closes_half_of_the_gap(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On at least 64 held-out words of two letters and more, against the better decoding of the raw team."""
    arguments = ["train", "str-build", "--preset", "quick", "--seed", str(seed), "--out", str(tmp_path / "run")]
    assert run([*arguments, "--quiet", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    raw = max(decoding["score"] for decoding in summary["raw_decodings"].values())
    assert summary["problems"] >= 64
    assert summary["raw"]["score"] == raw
    assert summary["trained"]["score"] >= (raw + 100) / 2
    assert min(summary["trained"]["contribution"]) >= 0.25
    assert summary["improvement"]["ci95"][0] > 0
