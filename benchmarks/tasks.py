"""Train CoLLM-CC on the quick form of every task with several seeds: python benchmarks/tasks.py

Runs lie under runs/tasks, one folder each; those that are finished are not run again, so the command can be stopped and
repeated. They run one after the other, each with all processor cores, because their time is part of the result. What they
reached goes to docs/tasks/results.json, and from there to the ``results`` of docs/tasks/NAME.md and the ``numbers`` of the
README; curves go to docs/images/tasks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import earlier
from marked import fill
from methods import curve, draw

ROOT = Path(__file__).parent.parent
PAGES, IMAGES = ROOT / "docs" / "tasks", ROOT / "docs" / "images" / "tasks"
TASKS = ("str-build", "house-build", "coop-he", "tldr", "arxiv")
SCORES = ("score", "paper_score", "score_hardened")

Cell = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Cell]]
"""Task → seed → what a run reached."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "tasks")
    arguments = parser.parse_args()
    for task in arguments.tasks:
        for seed in arguments.seeds:
            print(task, _row(str(seed), run(arguments.runs, task, seed)), flush=True)
        report(arguments.runs)


def run(runs: Path, task: str, seed: int) -> Cell:
    """Train one seed unless it is there; returns what it reached."""
    out = runs / f"{task}-seed{seed}"
    if not (out / "summary.json").exists():
        begin = ["--preset", "quick", *earlier.TASKS, "--seed", str(seed), "--out", str(out)]
        how = ["--resume", str(out)] if (out / "config.yaml").exists() else begin
        command = [sys.executable, "-m", "collm", "train", task, *how, "--quiet", "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return cell(json.loads((out / "summary.json").read_text()))


def cell(summary: Mapping[str, Any]) -> Cell:
    """What the table keeps of a run: pairs are raw and trained; raw is the better of sampled and greedy."""
    raw, trained = summary["raw"], summary["trained"]
    greedy = [summary[name]["greedy"]["score"] for name in ("raw_decodings", "trained_decodings")]
    return {
        **{name: [raw[name], trained[name]] for name in SCORES},
        "greedy": greedy,
        "closed": (trained["score"] - raw["score"]) / (100 - raw["score"]),
        "difference": summary["improvement"]["mean"],
        "ci95": summary["improvement"]["ci95"],
        "contribution": trained["contribution"],
        "problems": summary["problems"],
        "env_steps": summary["env_steps"],
        "seconds": summary["seconds"],
        "model": summary["model_hash"],
    }


def report(runs: Path) -> None:
    """Draw the curves of all finished runs, write their table, and fill in the documents."""
    found: dict[str, dict[str, Cell]] = {}
    IMAGES.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        finished = [path.parent for path in sorted(runs.glob(f"{task}-seed*/summary.json"))]
        if finished:
            draw(f"collm-cc, quick {task}", [curve(path) for path in finished], IMAGES / f"{task}.png")
            found[task] = {
                path.name.rpartition("seed")[2]: cell(json.loads((path / "summary.json").read_text()))
                for path in finished
            }
    (PAGES / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    for path in documents(found):
        path.write_text(filled(path, found))


def documents(results: Results) -> list[Path]:
    """Every document that has some of these results in it."""
    return [ROOT / "README.md", *(PAGES / f"{task}.md" for task in results)]


def filled(path: Path, results: Results) -> str:
    """A document with its generated part as it should be now."""
    if path.name == "README.md":
        return fill(path.read_text(), "numbers", overview(results))
    return fill(path.read_text(), "results", block(path.stem, results[path.stem]))


def overview(results: Results) -> str:
    """A row per task."""
    rows = [
        "| task | raw → trained score, seeds 0, 1, 2 | gap closed | lowest end of an interval | training, two cores |",
        "|---|---|---|---|---|",
    ]
    for task, seeds in results.items():
        cells = list(seeds.values())
        scores = ", ".join(_pair(one["score"], 0) for one in cells)
        closed = ", ".join(f"{one['closed']:.2f}" for one in cells)
        lowest, seconds = min(one["ci95"][0] for one in cells), [one["seconds"] for one in cells]
        times = f"{min(seconds):.0f}–{max(seconds):.0f} s"
        rows.append(f"| [{task}](docs/tasks/{task}.md) | {scores} | {closed} | {lowest:+.1f} | {times} |")
    return "\n".join(rows)


def block(task: str, seeds: Mapping[str, Cell]) -> str:
    """The command, its table, its curve, and what it was measured with."""
    first = next(iter(seeds.values()))
    return "\n".join(
        [
            f"```\ncollm train {task} --preset quick {' '.join(earlier.TASKS)} --seed 0\n```\n",
            "| seed | score | difference, 95 % interval | gap closed | paper score | hardened score | greedy score | "
            "contribution | training |",
            "|---|---|---|---|---|---|---|---|---|",
            *(_row(seed, one) for seed, one in seeds.items()),
            f"\nRaw → trained, {first['problems']} held-out problems, sampled (raw: better of sampled and greedy), about "
            f"{first['env_steps']:,} env steps, model {first['model']}, two cores. The interval is a paired bootstrap over "
            "problems. All seeds: `python benchmarks/tasks.py`. The flags are the settings the preset had then; those of "
            "now, and why: [tuning](../results/tuning.md#the-presets).",
            f"\n![training score against env steps](../images/tasks/{task}.png)",
        ]
    )


def _row(seed: str, one: Cell) -> str:
    low, high = one["ci95"]
    cells = (
        seed,
        _pair(one["score"]),
        f"{one['difference']:+.1f} [{low:.1f}, {high:.1f}]",
        f"{one['closed']:.2f}",
        *(_pair(one[name]) for name in (*SCORES[1:], "greedy")),
        ", ".join(f"{share:.2f}" for share in one["contribution"]),
        f"{one['seconds']:.0f} s",
    )
    return f"| {' | '.join(cells)} |"


def _pair(values: list[float], digits: int = 1) -> str:
    return " → ".join(f"{value:.{digits}f}" for value in values)


if __name__ == "__main__":
    main()
