"""The records of a comparison, grouped for tables and figures; what is missing is known, and averaged over nowhere."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from collm.comparison import records
from collm.comparison.records import Record
from collm.comparison.study import FILE, Cell, Study, read_study
from collm.errors import ConfigError
from collm.evaluation import stats
from collm.evaluation.stats import Estimate


@dataclasses.dataclass(frozen=True)
class Group:
    """The finished seeds of one arm in one setting."""

    setting: str
    arm: str
    records: tuple[Record, ...]
    planned: int

    @property
    def trained(self) -> bool:
        return "curve" in self.records[0]

    @property
    def seeds(self) -> list[int]:
        return [record["seed"] for record in self.records]

    def after(self, measure: str, decoding: str = "sampled") -> list[float] | None:
        """(seeds,) a measure of the teams on held-out problems, or None where the task has none of that name."""
        return _values([record["after"][decoding] for record in self.records], measure)

    def before(self, measure: str) -> list[float] | None:
        """(seeds,) the same before training; None for teams that were not trained."""
        return _values([record["before"]["sampled"] for record in self.records], measure) if self.trained else None

    @property
    def scores(self) -> list[float]:
        """(seeds,) mean held-out score, sampled."""
        return [float(record["after"]["sampled"]["score"]) for record in self.records]

    def curve(self, name: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """For every seed env steps and the finite values of a curve there, both (updates,)."""
        found = []
        for record in self.records:
            own = record["curve"]
            pairs = [(x, y) for x, y in zip(own["env_steps"], own.get(name, []), strict=False) if y is not None]
            if pairs:
                found.append((np.array([x for x, _ in pairs], float), np.array([y for _, y in pairs], float)))
        return found

    @property
    def budget(self) -> int:
        return int(self.records[0]["conditions"]["env_steps"])

    def areas(self, since: Sequence[int] | None = None, width: int | None = None) -> list[float]:
        """(seeds,) mean training score over the budget, or over ``width`` env steps from ``since`` (seeds,) on; the raw
        team's score at the beginning."""
        raw = self.before("score") or [0.0] * len(self.records)
        found = []
        for (steps, scores), start, begin in zip(
            self.curve("score"), raw, since or [0] * len(self.records), strict=True
        ):
            later = steps > begin
            points = np.concatenate([[0.0], steps[later] - begin])
            found.append(stats.area(points, np.concatenate([[start], scores[later]]), width or self.budget))
        return found

    def steps_to(self, level: float) -> list[float]:
        """(seeds,) env steps until the training score first reaches a level; infinite where it never does."""
        return [stats.steps_to(steps, scores, level) for steps, scores in self.curve("score")]


def _values(rows: Sequence[Mapping[str, float]], measure: str) -> list[float] | None:
    if not all(isinstance(row.get(measure), (int, float)) for row in rows):
        return None
    return [float(row[measure]) for row in rows]


class Comparison:
    """Finished cells, and the plan if there is one."""

    def __init__(self, found: Iterable[Record], study: Study | None = None) -> None:
        """Raises ConfigError if there is no record, if two are of one cell, or if cells of a setting disagree."""
        self.study = study
        self.records = sorted(found, key=lambda record: (record["setting"], record["arm"], record["seed"]))
        if not self.records:
            raise ConfigError("no cell of the comparison is finished, so there is nothing to report yet.")
        records.require_comparable(self.records)
        names = [records.name(record) for record in self.records]
        for one, other in itertools.pairwise(names):
            if one == other:
                raise ConfigError(f"the cell {one} is there twice. Name every run once.")
        self.groups = self._grouped()

    def _grouped(self) -> dict[tuple[str, str], Group]:
        planned = list(self.study.cells()) if self.study else []
        found: dict[tuple[str, str], list[Record]] = {}
        for record in self.records:
            found.setdefault((record["setting"], record["arm"]), []).append(record)
        counts = {key: sum((cell.setting, cell.arm) == key for cell in planned) for key in found}
        groups = {key: Group(*key, tuple(own), max(counts[key], len(own))) for key, own in found.items()}
        order = [(cell.setting, cell.arm) for cell in planned]
        return {key: groups[key] for key in dict.fromkeys([*order, *groups]) if key in groups}

    @property
    def settings(self) -> list[str]:
        return list(dict.fromkeys(setting for setting, _ in self.groups))

    @property
    def arms(self) -> list[str]:
        """In the order of the plan."""
        planned = list(self.study.arms) if self.study else []
        present = dict.fromkeys(arm for _, arm in self.groups)
        return [arm for arm in dict.fromkeys([*planned, *present]) if arm in present]

    def of(self, setting: str) -> list[Group]:
        """The arms of a setting that have a finished seed."""
        return [self.groups[setting, arm] for arm in self.arms if (setting, arm) in self.groups]

    @functools.cached_property
    def missing(self) -> list[Cell]:
        """Planned cells without a record."""
        if self.study is None:
            return []
        there = {(record["setting"], record["arm"], record["seed"]) for record in self.records}
        return [cell for cell in self.study.cells() if (cell.setting, cell.arm, cell.seed) not in there]

    def difference(self, setting: str, arm: str, other: str, level: float = stats.LEVEL) -> Estimate | None:
        """Score of one arm minus another's: over the seeds that both have, each pair on the same problems."""
        if (setting, arm) not in self.groups or (setting, other) not in self.groups:
            return None
        return paired(self.groups[setting, arm], self.groups[setting, other], level)


def paired(group: Group, other: Group, level: float = stats.LEVEL) -> Estimate | None:
    """Score of one group minus another's over the seeds that both have; both were measured on the same problems."""
    a, b = ({record["seed"]: record for record in one.records} for one in (group, other))
    common = sorted(set(a) & set(b))
    return stats.mean([_gap(a[seed], b[seed]) for seed in common], level) if common else None


def _gap(a: Record, b: Record) -> float:
    """Mean paired difference over problems; both were measured on the same ones."""
    return float(np.mean(np.subtract(a["after"]["per_problem"], b["after"]["per_problem"])))


def load(folder: Path) -> Comparison:
    """A comparison from its folder, or from one with ``SETTING.jsonl`` files, beside which ``study.yaml`` may be."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder.")
    plan = folder / FILE
    return Comparison(records.load(folder), read_study(plan) if plan.is_file() else None)


def finite(values: Sequence[float]) -> int:
    """How many are not censored."""
    return sum(not math.isinf(value) for value in values)
