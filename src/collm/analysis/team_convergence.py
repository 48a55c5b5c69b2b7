"""The share of trainings that fail, for a team of language models: section 9 of docs/theory.md, by training."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from collm.analysis.folder import Row
from collm.analysis.trainings import trained, with_method
from collm.config import TrainConfig
from collm.evaluation.curves import points, smooth
from collm.methods import method
from collm.options import Range
from collm.training.metrics import read
from collm.training.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class TeamConvergenceSettings:
    """What is trained. Every run starts from the raw model."""

    methods: tuple[str, ...] = ("collm-cc", "collm-dc", "magrpo")
    """Methods for teams."""
    seeds: tuple[Annotated[int, Range(0)], ...] = (0, 1, 2)
    """One run each."""
    lams: tuple[Annotated[float, Range(0, 1)], ...] = ()
    """λ of the methods with a critic, for advantages and targets; by default the preset's."""
    groups: tuple[Annotated[int, Range(1)], ...] = ()
    """Group sizes K of the methods that compare, with as many episodes per update; by default the preset's."""
    closed: Annotated[float, Range(0, 1)] = 0.25
    """A run fails if it closes less than this part of the gap between the raw team's score and 100."""


def arms(
    settings: TeamConvergenceSettings, config: TrainConfig[Any], change: Mapping[str, Any]
) -> Iterator[tuple[Row, TrainConfig[Any]]]:
    """Every method at every λ or group size that it has, with the configuration of its trainings but for the seed."""
    for name in settings.methods:
        chosen, own = method(name), with_method(config, name, change)
        if chosen.critic and settings.lams:
            for lam in settings.lams:
                yield _label(name, lam=lam), with_method(config, name, {**change, "credit.lam": lam})
        elif (chosen.siblings > 1 or chosen.greedy) and settings.groups:
            for group in settings.groups:
                problems = max(1, own.rollout.problems * own.rollout.samples // group)
                sizes = {"rollout.samples": group, "rollout.problems": problems}
                yield _label(name, group=group), with_method(config, name, {**change, **sizes})
        elif chosen.critic:
            yield _label(name, lam=own.credit.lam), own
        else:
            yield _label(name, group=own.rollout.samples), own


def _label(name: str, lam: float | None = None, group: int | None = None) -> Row:
    return {"estimator": name, "lam": lam, "group": group, "values": None}


def convergence_rows(
    settings: TeamConvergenceSettings, config: TrainConfig[Any], change: Mapping[str, Any], out: Path, variation: str
) -> Iterator[Row]:
    """One row per run and one per arm. Runs lie in ``out``; finished ones are read, unfinished ones gone on with."""
    for label, arm in list(arms(settings, config, change)):
        runs = []
        for seed in settings.seeds:
            folder = out / _slug(variation) / f"{_slug(_arm_name(label))}-seed{seed}"
            summary = trained(dataclasses.replace(arm, seed=seed), folder)
            runs.append(outcome(summary, read(RunFolder(folder).metrics_path), settings.closed))
            yield {"kind": "training", **label, "seed": seed, **runs[-1]}
        yield {"kind": "convergence", **label, **together(runs), "budget": arm.env_steps, "part": settings.closed}


def outcome(summary: Mapping[str, Any], records: list[dict[str, Any]], part: float) -> Row:
    """Where one run began and ended, whether it failed, and how long it took to come so far.

    ``reached`` are the env steps played when the training score, smoothed as in the run's curves, first had closed that
    part of the gap; None if it never had. Failure is judged by the score on test problems at the end.
    """
    raw, after = float(summary["raw"]["score"]), float(summary["trained"]["score"])
    closed = (after - raw) / (100.0 - raw)
    steps, scores = points(records, "score")
    enough = np.flatnonzero(smooth(scores) >= raw + part * (100.0 - raw))
    reached = int(steps[enough[0]]) if len(enough) else None
    return {"raw": raw, "trained": after, "closed": closed, "failed": bool(closed < part), "reached": reached}


def together(runs: list[Row]) -> Row:
    """The share of runs that failed, what was closed on average, and the median env steps to come so far.

    The median counts runs that never did as longer than all others; it is None if half of them or more never did.
    """
    steps = np.array([np.inf if run["reached"] is None else run["reached"] for run in runs])
    middle = float(np.median(steps))
    return {
        "seeds": len(runs),
        "failed": float(np.mean([run["failed"] for run in runs])),
        "closed": float(np.mean([run["closed"] for run in runs])),
        "arrived": int(np.isfinite(steps).sum()),
        "reached": middle if np.isfinite(middle) else None,
    }


def _arm_name(label: Row) -> str:
    settings = [f"{key}{label[key]:g}" for key in ("lam", "group") if label[key] is not None]
    return "-".join([label["estimator"], *settings])


def _slug(text: str) -> str:
    """Text as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-")
