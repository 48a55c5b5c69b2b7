"""Drift of the critics' targets while a team of language models learns: section 7 of docs/theory.md, by sampling."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from scipy import stats

from collm.analysis.folder import Row
from collm.analysis.pool import Measured, jackknife
from collm.analysis.targets import Effort, Target, Views, met, squared_change, targets
from collm.config import TrainConfig
from collm.models.policy import Policy, copies
from collm.options import Range
from collm.rollout.collector import Job, collect
from collm.tasks.protocol import Task
from collm.training.loop import Trainer
from collm.training.setup import assemble


@dataclasses.dataclass(frozen=True)
class TeamDriftSettings:
    """Where targets are measured, and what moves the team."""

    method: str = "collm-cc"
    """The method that trains the team in between."""
    updates: tuple[Annotated[int, Range(1)], ...] = (2, 4, 8)
    """After so many updates of the policies."""
    problems: Annotated[int, Range(3)] = 12
    """The first of the training problems. The team before plays each once, and what it meets are the histories."""
    continuations: Annotated[int, Range(2)] = 16
    """Episodes behind each history."""
    attempts: Annotated[int, Range(2)] = 64
    """At most so many for each; those in which an agent of the history sees something else do not count."""


class TeamDrift:
    """Fixed histories of one team, and the critics' targets there while a copy of the team learns."""

    def __init__(
        self, settings: TeamDriftSettings, config: TrainConfig[Any], task: Task, policies: Sequence[Policy], seed: int
    ) -> None:
        """``config`` is that of the training; the given policies are left as they are."""
        self.settings, self.task, self.config = settings, task, config
        self.key = ("analyze", "drift", seed)
        self.policies = copies(policies)
        self.trainer = Trainer(config, assemble(config, policies=self.policies))
        problems = list(task.problems("train"))[: settings.problems]
        jobs = [Job(problem, place) for place, problem in enumerate(problems)]
        rollout = collect(task, self.policies, jobs, config.sampling, (*self.key, "met"), config.rollout.max_history)
        self.histories = met(rollout, task.agents)
        self.problems = len(problems)

    def rows(self) -> Iterator[Row]:
        """One row per history and moment, and one per moment."""
        for _ in range(self.trainer.warmup_updates):
            self._update()
        before = self._measure(0)
        for last, moment in itertools.pairwise([0, *sorted(set(self.settings.updates))]):
            for _ in range(last, moment):
                self._update()
            after = self._measure(moment)
            histories = self._compare(before, after)
            yield from ({"kind": "drift-history", "update": moment, **row} for row in histories)
            yield {"kind": "drift", "update": moment, **self._summary(histories, before, after)}

    def _update(self) -> None:
        self.trainer.step()
        self.trainer.check_health()

    def _measure(self, moment: int) -> Views:
        config, effort = self.config, Effort(self.settings.continuations, self.settings.attempts)
        key, gamma, longest = (*self.key, moment), self.trainer.parts.gamma, config.rollout.max_history
        return self.histories.views(
            lambda wanted: targets(self.task, self.policies, wanted, effort, config.sampling, gamma, key, longest)
        )

    def _compare(self, before: Views, after: Views) -> list[Row]:
        rows: list[Row] = []
        for place, probe in enumerate(self.histories.joint):
            whole = (before.joint[place], after.joint[place])
            own = list(zip(before.own[place], after.own[place], strict=True))
            each = [
                float(squared_change(*pair)[agent]) if pair[0].known and pair[1].known else None
                for agent, pair in enumerate(own)
            ]
            rows.append(
                {
                    "problem": probe.problem.id,
                    "place": probe.place,
                    "turn": probe.history.turn,
                    "joint": float(squared_change(*whole).mean()) if whole[0].known and whole[1].known else None,
                    "own": each,
                    "value": [_mean(target) for target in whole],
                    "own_values": [[_mean(target, agent) for target in pair] for agent, pair in enumerate(own)],
                    "continuations": [len(target.returns) for pair in (whole, *own) for target in pair],
                    "attempts": [target.attempts for pair in (whole, *own) for target in pair],
                }
            )
        return rows

    def _summary(self, histories: list[Row], before: Views, after: Views) -> dict[str, Any]:
        """Means over the histories at which everything is known, with standard errors over problems."""
        known = [row for row in histories if row["joint"] is not None and None not in row["own"]]
        squares = np.array([[row["joint"], np.mean(row["own"])] for row in known]).reshape(-1, 2)
        owner = np.array([row["place"] for row in known], dtype=int)
        columns = {"joint": squares[:, 0], "own": squares[:, 1], "difference": squares[:, 1] - squares[:, 0]}
        measured = {name: over_problems(column, owner) for name, column in columns.items()}
        starts = [place for place, probe in enumerate(self.histories.joint) if probe.history.turn == 0]
        played = [np.concatenate([moment.joint[p].returns for p in starts]).mean(1) for moment in (before, after)]
        everything = [target for moment in (before, after) for group in (moment.joint, *moment.own) for target in group]
        return {
            "method": self.config.method,
            **{name: one.value for name, one in measured.items()},
            **{f"{name}_error": one.error for name, one in measured.items()},
            "problems": len(set(owner.tolist())),
            "histories": len(histories),
            "compared": len(known),
            "spread": float(played[0].std(ddof=1)),
            "return": [float(returns.mean()) for returns in played],
            "cut": sum(target.cut for target in everything),
        }


def _mean(target: Target, agent: int | None = None) -> float | None:
    """The mean return-to-go of one agent, or of all; None if nothing is known."""
    if not target.known:
        return None
    return float(target.returns.mean() if agent is None else target.returns[:, agent].mean())


def over_problems(values: np.ndarray, owner: np.ndarray) -> Measured:
    """The mean of values, with its standard error over the problems ``owner`` that they belong to."""
    problems = np.unique(owner)
    totals = np.array([values[owner == problem].sum() for problem in problems])
    counts = np.array([(owner == problem).sum() for problem in problems])
    return jackknife(lambda kept: float(totals[kept].sum() / counts[kept].sum()), len(problems))


def root_interval(row: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    """RMS drift in units of the return's spread, with a 95 % interval: roots of Student's interval of the mean square."""
    half = stats.t.ppf(0.975, row["problems"] - 1) * row[f"{name}_error"]
    ends = np.array([row[name], row[name] - half, row[name] + half])
    value, low, high = np.sqrt(np.maximum(ends, 0.0)) / row["spread"]
    return float(value), float(low), float(high)
