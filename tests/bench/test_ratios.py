"""Ratios, exponents and who counts as the best run: numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from collm.bench.ratios import Ratio, above_imports, rates, speed_ratio
from collm.bench.report import summary, tables
from collm.bench.sweeps import fitted
from collm.bench.target import _rank, by_level, ratio
from collm.errors import BenchError


def test_pairs_and_their_spread() -> None:
    ours = [{"env_steps": 100, "seconds": seconds} for seconds in (1.0, 2.0, 4.0)]
    theirs = [{"env_steps": 50, "seconds": seconds} for seconds in (10.0, 10.0, 10.0)]
    found = speed_ratio(list(zip(ours, theirs, strict=True))).record()
    assert found == {"median": 10.0, "low": 5.0, "high": 20.0, "pairs": [20.0, 10.0, 5.0]}


def test_rates_are_medians_of_rounds() -> None:
    rounds = [{"seconds": s, "env_steps": 10, "generated_tokens": 100, "learned_tokens": 50} for s in (1.0, 2.0, 10.0)]
    assert rates(rounds) == {
        "seconds": 2.0,
        "env_steps_per_s": 5.0,
        "generated_tokens_per_s": 50.0,
        "learned_tokens_per_s": 25.0,
    }


def test_a_run_that_was_given_up_makes_a_lower_bound() -> None:
    ours = [{"seed": 0, "seconds": 10.0, "censored": False}, {"seed": 1, "seconds": 20.0, "censored": False}]
    theirs = [{"seconds": 300.0, "censored": True}, {"seconds": 200.0, "censored": False}]
    found = ratio(ours, theirs)
    assert found == Ratio((30.0, 10.0), True)
    assert found.record()["censored"]
    with pytest.raises(BenchError, match="at seeds \\[0\\]"):
        ratio([{**ours[0], "censored": True}], theirs[:1])


def test_the_best_learning_rate_reaches_the_target_first_or_comes_nearest() -> None:
    slow, fast = {"censored": False, "seconds": 9.0, "best": 60.0}, {"censored": False, "seconds": 5.0, "best": 60.0}
    low, high = {"censored": True, "seconds": 9.0, "best": 40.0}, {"censored": True, "seconds": 9.1, "best": 50.0}
    assert min([low, high, slow, fast], key=_rank) is fast
    assert min([low, high], key=_rank) is high


def test_exponents_of_a_power_law() -> None:
    rows = [
        {"value": n, "ours": {"per_episode": 3 * n**1.07, "per_env_step": 2 * n**0.5 + (n > 4)}} for n in (1, 2, 4, 8)
    ]
    found = fitted(rows, "ours")
    assert found["exponent_per_episode"] == pytest.approx(1.07)
    assert found["last_exponent_per_episode"] == pytest.approx(1.07)
    assert found["last_exponent_per_env_step"] > found["exponent_per_env_step"] > 0.5


def test_memory_counts_above_the_imports_or_on_the_gpu() -> None:
    ready = {"memory": {"resident": 300, "peak": 400, "cuda_peak": None}}
    assert above_imports(ready, {"memory": {"peak": 1000, "cuda_peak": None}}) == 700
    assert above_imports(ready, {"memory": {"peak": 1000, "cuda_peak": 5}}) == 5


def test_the_object_has_the_ratios_and_tables_show_what_there_is() -> None:
    one = Ratio((3.0, 2.0, 4.0)).record()
    results = {
        "maac_default": {"ratio": one},
        "target": {"ratio": Ratio((9.0,), True).record(), "ours": [], "theirs": [], "aim": {"score": 60}},
    }
    found = summary({"threads": 2}, results)
    assert found["ratios"]["maac_default"] == {"median": 3.0, "low": 2.0, "high": 4.0, "pairs": [3.0, 2.0, 4.0]}
    assert found["ratios"]["time_to_target"]["censored"]
    (table,) = tables(found)
    assert table.rows[1] == ("time_to_target", "at least 9.00", "at least 9.00", "at least 9.00", "1")


def test_the_page_is_filled_from_results() -> None:
    from performance import PAGE, filled

    results = {"maac_default": {"ratio": Ratio((3.0,)).record(), "ours": {"versions": {"collm": "0.1.0"}}}}
    settings = {
        "threads": 2,
        "device": "cpu",
        "rounds": 5,
        "shape": "0.8M",
        "memory_shape": "100M",
        "target_budget": 900.0,
        "quick": True,
    }
    page = filled(PAGE.read_text(), summary(settings, results))
    assert "| maac_default | 3.00 | 3.00 | 3.00 | 1 |" in page
    assert "collm 0.1.0" in page
    assert "not a result" in page


def run_with(seed: int, *points: tuple[float, float], lr: float | None = None) -> dict[str, Any]:
    curve = [{"seconds": seconds, "env_steps": 0, "score": score} for seconds, score in points]
    return {"seed": seed, "lr": lr, "curve": curve, "seconds": points[-1][0], "best": max(score for _, score in points)}


def test_times_at_lower_scores_take_the_other_sides_faster_rate() -> None:
    found = {
        "aim": {"score": 65.0},
        "ours": [run_with(0, (0, 35), (1, 45), (2, 55), (4, 66))],
        "theirs": [
            run_with(0, (0, 35), (10, 41), (20, 44), (100, 50), lr=1e-4),
            run_with(0, (0, 35), (30, 62), (80, 40), lr=1e-3),
        ],
    }
    rows = {row["level"]: row for row in by_level(found)}
    assert list(rows) == [40, 50, 60, 65]
    assert [row["median"] for row in rows.values()] == [10, 15, 7.5, 20]
    assert [row.get("censored", False) for row in rows.values()] == [False, False, False, True]
