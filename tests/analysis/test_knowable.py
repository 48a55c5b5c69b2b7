"""What can be known of the return: against an enumerated game, and the whole command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collm.analysis.knowable import Known, knowable_rows
from collm.analysis.targets import Effort, met, targets
from collm.analysis.team_knowable import known
from collm.cli import run
from collm.rollout.collector import Job, collect
from collm.tasks import Problem, Step
from tests.analysis.enumerated import TEAMS, Hidden, first_chances, value_at
from tests.analysis.test_team import SMALL
from tests.games import ONE_TOKEN

PROBLEMS, EPISODES = 24, 8


class Graded(Hidden):
    """Hidden, in which each turn of problem k is worth k/30 more."""

    def step(self, problem: Problem, state: Any, actions: Sequence[str]) -> Step:
        step = super().step(problem, state, actions)
        return Step(step.state, step.observations, step.reward + int(problem.id) / 30, {}, step.terminated)


def test_shares_are_the_enumerated_ones() -> None:
    """At the last turn, where what all know, what one knows and what the problem says all differ."""
    game, team = Graded(), TEAMS[0]
    chances = [first_chances(game, policy, agent) for agent, policy in enumerate(team)]
    pairs = np.outer(*chances)
    values, squares = (
        np.array([[value_at(Hidden(), team, (one, other), power) for other in range(10)] for one in range(10)])
        for power in (1, 2)
    )
    mean, square = (pairs * values).sum(), (pairs * squares).sum()
    of_problem = float(np.var(np.arange(PROBLEMS) / 30, ddof=1))
    total = square - mean**2 + of_problem
    own = np.mean([pairs.sum(1 - a) @ ((pairs * values).sum(1 - a) / pairs.sum(1 - a)) ** 2 for a in range(2)])
    exact = {
        "problem": of_problem / total,
        "own": (own - mean**2 + of_problem) / total,
        "joint": ((pairs * values**2).sum() - mean**2 + of_problem) / total,
    }
    assert exact["problem"] + 0.05 < exact["own"] < exact["joint"] - 0.05

    jobs = [Job(Problem(str(k)), k, sample) for k in range(PROBLEMS) for sample in range(EPISODES)]
    rollout = collect(game, team, jobs, ONE_TOKEN, ("met",))
    histories = met(rollout, 2)
    views = histories.views(lambda wanted: targets(game, team, wanted, Effort(8, 8), ONE_TOKEN, 1.0, ("on",)))
    said = np.zeros((len(jobs), 2, 1))
    for path, job in enumerate(jobs):
        first = [rollout.forest.transcript(path, agent) for agent in range(2)]
        said[path, 1] = values[tuple(one.tokens[one.spans[0].said] for one in first)] + job.group / 30
    start, last = knowable_rows(known([job.group for job in jobs], histories, views, {"joint": said}))

    assert (last["turn"], last["problems"], last["histories"]) == (1, PROBLEMS, PROBLEMS * EPISODES)
    for name, value in exact.items():
        assert last[f"{name}_error"] < 0.1
        assert last[name] == pytest.approx(value, abs=3 * last[f"{name}_error"])
    assert last["joint − own"] == pytest.approx(last["joint"] - last["own"])
    assert last["fitted joint"] == pytest.approx(last["joint"], abs=0.03)
    assert start["joint − own"] == 0
    assert abs(start["joint − problem"]) < 3 * start["joint − problem_error"]


def test_nothing_is_said_of_turns_that_hardly_any_problem_has() -> None:
    """Two histories of three problems are wanted, and returns that differ."""

    def behind(problem: int, mean: float) -> Known:
        return Known(problem, np.array([mean]), 4, 0.1, 0.1, {})

    enough = [behind(problem, problem + sample) for problem in range(3) for sample in range(2)]
    same = [Known(problem, np.array([1.0]), 4, 0.0, 0.0, {}) for problem in range(3) for _ in range(2)]
    rows = list(knowable_rows([enough, enough[:4], [behind(problem, 0) for problem in range(9)], same]))
    assert [row["turn"] for row in rows] == [0]


def test_the_command_says_it_turn_by_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "known"
    assert run(["analyze", "str-build", *SMALL, "--parts", "knowable", "--told", "--json", "--out", str(out)]) == 0
    summary = json.loads(capsys.readouterr().out)
    rows = [json.loads(line) for line in (out / "raw.jsonl").read_text().splitlines()]
    assert [row["turn"] for row in rows] == [0, 1]
    assert all(row["joint"] <= 1 and {"fitted own", "fitted joint", "fitted state"} <= set(row) for row in rows)
    assert summary["figures"] == ["figure-knowable.png"]
    assert "fitted joint | fitted state | met again" in (out / "table.md").read_text()


def test_more_problems_than_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--parts", "knowable", "--knowable.problems", "999", "--out", str(tmp_path / "known")]
    assert run(["analyze", "str-build", *SMALL, *flags]) == 2
    assert "knowable.problems = 999: the task has 320 training problems" in capsys.readouterr().err
