"""Train CoLLM-CC on the quick form of every task with several seeds: python benchmarks/tasks.py

Runs lie under runs/tasks, one folder each; those that are finished are not run again, so the command can be stopped and
repeated. They run one after the other, each with all processor cores, because their time is part of the result. Tables go
between ``<!-- results -->`` and ``<!-- end -->`` of docs/tasks/NAME.md, curves to docs/images/tasks.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from methods import curve, draw

ROOT = Path(__file__).parent.parent
PAGES, IMAGES = ROOT / "docs" / "tasks", ROOT / "docs" / "images" / "tasks"
TASKS = ("str-build", "house-build", "coop-he", "tldr", "arxiv")
HEAD = (
    "| seed | score | difference, 95 % interval | gap closed | paper score | hardened score | greedy score | training |\n"
    "|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "tasks")
    arguments = parser.parse_args()
    for task in arguments.tasks:
        for seed in arguments.seeds:
            print(_row(run(arguments.runs, task, seed)), flush=True)
        report(arguments.runs, task)


def run(runs: Path, task: str, seed: int) -> Mapping[str, Any]:
    """Train one seed unless it is there; returns its summary."""
    out = runs / f"{task}-seed{seed}"
    if not (out / "summary.json").exists():
        begin = ["--preset", "quick", "--seed", str(seed), "--out", str(out)]
        how = ["--resume", str(out)] if (out / "config.yaml").exists() else begin
        command = [sys.executable, "-m", "collm", "train", task, *how, "--quiet", "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "summary.json").read_text())


def report(runs: Path, task: str) -> None:
    """Draw a task's curve and fill in the table of its page."""
    found = [path.parent for path in sorted(runs.glob(f"{task}-seed*/summary.json"))]
    IMAGES.mkdir(parents=True, exist_ok=True)
    draw(f"collm-cc, quick {task}", [curve(path) for path in found], IMAGES / f"{task}.png")
    page = PAGES / f"{task}.md"
    summaries = [json.loads((path / "summary.json").read_text()) for path in found]
    filled = f"<!-- results -->\n{block(task, summaries)}\n<!-- end -->"
    page.write_text(re.sub(r"<!-- results -->\n.*?<!-- end -->", lambda _: filled, page.read_text(), flags=re.DOTALL))


def block(task: str, summaries: Sequence[Mapping[str, Any]]) -> str:
    """The command, its table, its curve, and what it was measured with."""
    first = summaries[0]
    return "\n".join(
        [
            f"```\ncollm train {task} --preset quick --seed 0\n```\n",
            HEAD,
            *map(_row, summaries),
            f"\nRaw → trained, {first['problems']} held-out problems, sampled (raw: better of sampled and greedy), about "
            f"{first['env_steps']:,} env steps, model {first['model_hash']}. The interval is a paired bootstrap over "
            "problems. All seeds: `python benchmarks/tasks.py`.",
            f"\n![training score against env steps](../images/tasks/{task}.png)",
        ]
    )


def _row(summary: Mapping[str, Any]) -> str:
    raw, trained, better = summary["raw"], summary["trained"], summary["improvement"]
    low, high = better["ci95"]
    cells = (
        str(summary["seed"]),
        f"{raw['score']:.1f} → {trained['score']:.1f}",
        f"{better['mean']:+.1f} [{low:.1f}, {high:.1f}]",
        f"{(trained['score'] - raw['score']) / (100 - raw['score']):.2f}",
        *(f"{raw[name]:.1f} → {trained[name]:.1f}" for name in ("paper_score", "score_hardened")),
        f"{summary['raw_decodings']['greedy']['score']:.1f} → {summary['trained_decodings']['greedy']['score']:.1f}",
        f"{summary['seconds']:.0f} s",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
