"""``collm analyze TASK``: the whole way on a small task, critics that are fitted, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collm.analysis.team import TeamStudy, estimators, fitted_values, variations
from collm.cli import run
from collm.config import TrainConfig, resolve
from collm.credit import returns_to_go
from collm.models.loading import load_policies
from collm.models.policy import Policy
from collm.rollout.collector import Job, collect
from collm.rollout.forest import Forest
from collm.rollout.standing import Standing
from collm.tasks import Task
from collm.training.setup import build_task

Played = tuple[TrainConfig[Any], Task, list[Policy], Forest]
SMALL = ["--quick", "--preset", "quick", "--set", "task.turns=2", "sampling.max_new_tokens=8"]


@pytest.mark.slow
def test_it_measures_every_variation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "team"
    flags = ["--vary", "task.reward=dense,terminal", "--json", "--out", str(out)]
    assert run(["analyze", "str-build", *SMALL, *flags]) == 0
    summary = json.loads(capsys.readouterr().out)
    rows = [json.loads(line) for line in (out / "raw.jsonl").read_text().splitlines()]
    assert summary["rows"] == len(rows)
    assert {row["variation"] for row in rows} == {"reward dense", "reward terminal"}
    assert {row["turns"] for row in rows if row["kind"] == "team"} == {2.0}
    terminal = [row for row in rows if row["kind"] == "estimator" and row["variation"] == "reward terminal"]
    names = {row["estimator"] for row in terminal}
    assert {"collm-cc", "collm-dc", "magrpo", "marloo", "mareinforce", "maremax-greedy"} <= names
    assert all(np.isfinite(row["variance"]) for row in terminal)
    (late,) = [row for row in terminal if row["estimator"] == "mareinforce"]
    assert late["advantage_variance"][0] == pytest.approx(late["advantage_variance"][1])
    assert sorted(path.name for path in out.iterdir()) == [
        "config.yaml",
        "figure-cost.png",
        "figure-turns.png",
        "raw.jsonl",
        "table.md",
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "task.turn=2"], "task.turns"),
        (["--set", "policy.lr=1"], "expected KEY=VALUE with a key that begins with task."),
        (["--vary", "task.turns"], "expected KEY=VALUE"),
        (["--vary", "task.turns=2,99"], "task.turns = 99"),
        (["--groups", "64"], "at most episodes"),
        (["--checkpoint", "update-00000001"], "needs --run"),
        (["--run", "nowhere", "--preset", "quick"], "--model and --preset are for raw teams"),
        (["--lams", "2"], "at most 1"),
        (["--knowable.episodes", "1"], "at least 2"),
    ],
)
def test_bad_values(flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new"
    assert run(["analyze", "str-build", "--quick", "--out", str(out), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_an_unknown_task_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["analyze", "str-bild", "--quick"]) == 2
    assert "str-build" in capsys.readouterr().err


def played(episodes: int, **critic: float) -> Played:
    """Raw teams on the first problems, with what the task says of all states."""
    values = {"task": {"turns": 2}, "sampling": {"max_new_tokens": 8}, "critic": critic}
    config = resolve("str-build", "collm-cc", "quick", values)
    task = build_task(config)
    policies = load_policies("tiny", task.agents)
    jobs = [Job(problem, i) for i, problem in enumerate(list(task.problems("train"))[:episodes])]
    return (
        config,
        task,
        policies,
        collect(task, policies, jobs, config.sampling, ("fit",), standing=Standing(task)).forest,
    )


def test_fitting_moves_values_towards_the_returns() -> None:
    config, task, policies, forest = played(6)
    errors = []
    for passes in (1, 8):
        values, _ = fitted_values(config, "collm-dc", "time-order", task, policies, forest, forest, 1.0, passes)
        assert values.shape == (len(forest), 2)
        errors.append(float(((returns_to_go(forest, 1.0) - values) ** 2).mean()))
    assert errors[1] < 0.8 * errors[0]


def test_a_fitted_critic_that_is_told_the_state_knows_what_stands_and_no_more() -> None:
    """At the beginning nothing stands anywhere, so it says the same of all; later, what remains to be had."""
    config, task, policies, forest = played(24, lr=1e-2)
    values, _ = fitted_values(config, "collm-cc", "state", task, policies, forest, forest, 1.0, 32)
    assert values.shape == (len(forest), 1)
    said, returns = (forest.dense(every) for every in (values, returns_to_go(forest, 1.0)))
    assert np.ptp(said[:, 0]) == pytest.approx(0, abs=1e-6)
    assert np.corrcoef(said[:, 1, 0], returns[:, 1, 0])[0, 1] > 0.5


def test_variations_are_all_combinations() -> None:
    found = variations({"task.turns": [1, 2], "task.reward": ["dense", "terminal"]})
    assert len(found) == 4
    assert found[1] == {"task.turns": 1, "task.reward": "terminal"}
    assert variations({}) == [{}]


def test_critics_come_at_every_lambda_and_groups_at_every_size() -> None:
    found = list(estimators(TeamStudy(lams=(0.0, 1.0), groups=(2, 3))))
    assert [(one.lam) for one in found if one.name == "collm-dc"] == [0.0, 1.0]
    assert [(one.group) for one in found if one.name == "marloo"] == [2, 3]


def test_a_critic_that_is_told_the_state_comes_beside_the_one_that_reads() -> None:
    found = [one for one in estimators(TeamStudy(lams=(0.0, 1.0), told=True)) if one.critic]
    assert [(one.name, one.critic, one.lam) for one in found if one.critic != "own"] == [
        (name, critic, lam)
        for name, critic in (("collm-cc", "joint"), ("collm-cc, state", "state"))
        for lam in (0.0, 1.0)
    ]
