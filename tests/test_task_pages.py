"""The results in the tasks' pages and the README are those of the measured runs, which all began with the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tasks
from collm.models.policy import load_policies, weights_hash

RESULTS: tasks.Results = json.loads((tasks.PAGES / "results.json").read_text())


def test_every_task_was_measured_with_three_seeds() -> None:
    assert list(RESULTS) == list(tasks.TASKS)
    assert all(list(seeds) == ["0", "1", "2"] for seeds in RESULTS.values())


@pytest.mark.parametrize("path", tasks.documents(RESULTS), ids=lambda path: path.stem)
def test_documents_are_as_the_results_are(path: Path) -> None:
    """What `python benchmarks/tasks.py` writes now."""
    assert path.read_text() == tasks.filled(path, RESULTS)


@pytest.mark.parametrize("task", RESULTS)
def test_the_bars(task: str) -> None:
    """Raw between 5 and 60; a quarter of the gap closed, with an interval above 0, within four minutes."""
    for one in RESULTS[task].values():
        assert 5 <= one["score"][0] <= 60
        assert one["closed"] >= 0.25
        assert one["ci95"][0] > 0
        assert one["seconds"] <= 240


def test_results_are_of_the_shipped_model() -> None:
    (policy,) = load_policies("tiny", 1)
    assert {one["model"] for seeds in RESULTS.values() for one in seeds.values()} == {weights_hash(policy.model)}
