"""What a benchmark says: one object with the ratios, and tables for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from collm.analysis.folder import Table, number
from collm.bench.plots import draw_sweeps, draw_target
from collm.bench.side.worker import Record

_MIB = 2**20
_RATIOS = {"target": "time_to_target"}
"""Result → its name among the ratios, where that is another."""
_EXPONENTS = ("exponent_per_episode", "last_exponent_per_episode")
_CPUINFO = Path("/proc/cpuinfo")


def summary(settings: Mapping[str, Any], results: Mapping[str, Record]) -> Record:
    """All results, and before them the ratios and what they were measured on."""
    ratios = {_RATIOS.get(name, name): result["ratio"] for name, result in results.items() if "ratio" in result}
    return {"ratios": ratios, "settings": dict(settings), "machine": machine(), "results": dict(results)}


def machine() -> Record:
    """What this runs on."""
    names = [line.split(":", 1)[1].strip() for line in _lines(_CPUINFO) if line.startswith("model name")]
    return {
        "system": platform.platform(),
        "processor": names[0] if names else platform.processor(),
        "processors": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())],
        "torch": torch.__version__,
    }


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def sweeps_of(results: Mapping[str, Record]) -> dict[str, Record]:
    """The sweeps among the results, by what grows."""
    return {result["name"]: result for name, result in results.items() if name.startswith("sweep")}


def draw(results: Mapping[str, Record], out: Path) -> list[Path]:
    """The figures that the results have something for."""
    figures = []
    if sweeps := sweeps_of(results):
        figures.append(draw_sweeps(sweeps, out / "sweeps.png"))
    if "target" in results:
        figures.append(draw_target(results["target"], out / "target.png"))
    return figures


def tables(found: Record) -> list[Table]:
    """Ratios, rates of both sides, memory, time to target, sweeps, and the machine's limits."""
    results = found["results"]
    made = [
        Table("ours over CoMLRL", ("what", "median", "lowest", "highest", "pairs"), tuple(_ratios(found["ratios"]))),
        Table(
            "rates, medians of rounds",
            ("work", "side", "s per update", "env steps/s", "generated tokens/s", "learned tokens/s", "peak MiB"),
            tuple(_rates(results)),
        ),
        Table("memory above imports", ("side", "peak MiB", "after loading MiB"), tuple(_memory(results))),
        Table("time to target", ("run", "seconds", "env steps", "best score"), tuple(_target(results))),
        Table(
            "time to each score", ("score", "seconds, ours", "CoMLRL, its best rate", "ratios"), tuple(_levels(results))
        ),
        Table(
            "cost and size",
            (
                "sweep",
                "side",
                "seconds per episode",
                "exponent per episode",
                "of the last two",
                "FLOPs' own",
                "of the last two",
            ),
            tuple(_sweeps(results)),
        ),
        Table("the machine, and how near we come", ("what", "value"), tuple(_limits(results))),
    ]
    return [table for table in made if table.rows]


Rows = Iterator[tuple[str, ...]]


def _ratios(ratios: Mapping[str, Record]) -> Rows:
    for name, ratio in ratios.items():
        bound = "at least " if ratio.get("censored") else ""
        values = (ratio["median"], ratio["low"], ratio["high"])
        yield name, *(f"{bound}{value:.2f}" for value in values), str(len(ratio["pairs"]))


def _rates(results: Mapping[str, Record]) -> Rows:
    for name, result in results.items():
        for side in ("ours", "theirs"):
            if side in result and "env_steps_per_s" in result[side]:
                one = result[side]
                rates = (one[f"{what}_per_s"] for what in ("env_steps", "generated_tokens", "learned_tokens"))
                peak = f"{one['peak_bytes'] / _MIB:,.0f}"
                yield name, side, number(one["seconds"]), *(f"{rate:,.1f}" for rate in rates), peak


def _memory(results: Mapping[str, Record]) -> Rows:
    for side in ("ours", "theirs", "theirs_one_sample"):
        if "memory" in results and side in results["memory"]:
            one = results["memory"][side]
            yield side.replace("_", " "), *(f"{one[what] / _MIB:,.0f}" for what in ("peak_bytes", "loaded_bytes"))


def _target(results: Mapping[str, Record]) -> Rows:
    for side in ("ours", "theirs"):
        for run in results.get("target", {}).get(side, []):
            name = f"{side}, seed {run['seed']}" + (f", lr {run['lr']:g}" if "lr" in run else "")
            above = "above " if run["censored"] else ""
            yield name, f"{above}{run['seconds']:.1f}", str(run["env_steps"]), f"{run['best']:.1f}"


def _levels(results: Mapping[str, Record]) -> Rows:
    for row in results.get("target", {}).get("levels", []):
        seconds = (", ".join(f"{value:.1f}" for value in row[side]) for side in ("ours", "theirs"))
        bound = "at least " if row.get("censored") else ""
        yield f"{row['level']:g}", *seconds, bound + ", ".join(f"{pair:.1f}" for pair in row["pairs"])


def _sweeps(results: Mapping[str, Record]) -> Rows:
    for name, sweep in sweeps_of(results).items():
        for side in ("ours", "theirs"):
            if side in sweep:
                rows = [(row["value"], row[side]["per_episode"]) for row in sweep["rows"]]
                costs = ", ".join(f"{value}: {number(cost)}" for value, cost in rows)
                fits = (sweep[what][which] for what in (side, "work") for which in _EXPONENTS)
                yield name, side, costs, *(f"{fit:.2f}" for fit in fits)


def _limits(results: Mapping[str, Record]) -> Rows:
    for name, value in results.get("limits", {}).items():
        yield name.replace("_", " "), number(value)
    for name, result in results.items():
        for what, value in result.get("nearness", {}).items():
            if not isinstance(value, str):
                yield f"{name}: {what.replace('_', ' ')}", f"{value:.1%}" if "_of_" in what else number(value)
