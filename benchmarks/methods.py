"""Train every method on the quick StrBuild with several seeds, and draw its curve: python benchmarks/methods.py

Runs lie under runs/methods, one folder each; those that are finished are not run again, so the command can be stopped
and repeated. Curves go to docs/images/methods, the table to docs/methods/results.json and to standard output.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from earlier import flags
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from collm.evaluation.stats import half_widths
from collm.methods import METHODS
from collm.training.metrics import read

ROOT = Path(__file__).parent.parent
Curve = np.ndarray
# Okabe and Ito's colours, and two greys.
COLOURS = dict(
    zip(
        METHODS,
        ("#0072B2", "#D55E00", "#009E73", "#999999", "#56B4E9", "#E69F00", "#CC79A7", "#444444", "#B8A000"),
        strict=True,
    )
)
TEAMS = {2: tuple(METHODS), 3: ("collm-cc", "collm-dc", "magrpo"), 4: ("collm-cc", "collm-dc", "magrpo")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--agents", nargs="*", type=int, default=[2, 3, 4], choices=list(TEAMS))
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "methods")
    arguments = parser.parse_args()
    cells = [
        (agents, method, seed)
        for agents in arguments.agents
        for seed in arguments.seeds
        for method in TEAMS[agents]
        if method in arguments.methods
    ]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for line in pool.map(lambda cell: run(arguments.runs, *cell), cells):
            print(line, flush=True)
    report(arguments.runs)


def folder(runs: Path, agents: int, method: str, seed: int) -> Path:
    return runs / f"{method}-{agents}-seed{seed}"


def run(runs: Path, agents: int, method: str, seed: int) -> str:
    """Train one cell unless it is there; returns its line."""
    out = folder(runs, agents, method, seed)
    if not (out / "summary.json").exists():
        command = [sys.executable, "-m", "collm", "train", "str-build"]
        if (out / "config.yaml").exists():
            command += ["--resume", str(out)]
        else:
            command += ["--preset", "quick", "--method", method, "--seed", str(seed), "--run.threads", "1"]
            command += [*flags(METHODS[method]), "--out", str(out)]
            command += ["--task.agents", str(agents)] if agents != 2 else []
        subprocess.run([*command, "--quiet", "--json"], check=True, stdout=subprocess.DEVNULL)
    return line(json.loads((out / "summary.json").read_text()), agents)


def line(summary: dict[str, Any], agents: int) -> str:
    row = cell(summary)
    low, high = row["ci95"]
    return (
        f"{summary['method']:<15} {agents} agents, seed {summary['seed']}: {row['raw']:5.1f} → {row['trained']:5.1f}, "
        f"gap closed {row['closed']:5.1%}, difference [{low:.1f}, {high:.1f}], {summary['env_steps']} env steps, "
        f"{summary['seconds']:.0f} s"
    )


def cell(summary: dict[str, Any]) -> dict[str, Any]:
    """What the table keeps of a run."""
    raw, trained = summary["raw"]["score"], summary["trained"]["score"]
    return {
        "raw": raw,
        "trained": trained,
        "closed": (trained - raw) / (100 - raw),
        "ci95": summary["improvement"]["ci95"],
        "contribution": summary["trained"]["contribution"],
        "env_steps": summary["env_steps"],
        "seconds": summary["seconds"],
        "model": summary["model_hash"],
    }


def report(runs: Path) -> None:
    """Draw the curves and write the table of all finished runs."""
    images, table = ROOT / "docs" / "images" / "methods", ROOT / "docs" / "methods" / "results.json"
    images.mkdir(parents=True, exist_ok=True)
    table.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = {}
    curves: dict[str, list[Curve]] = {}
    for agents, methods in TEAMS.items():
        for method in methods:
            finished = {
                int(path.parent.name.rpartition("seed")[2]): path
                for path in sorted(runs.glob(f"{method}-{agents}-seed*/summary.json"))
            }
            if finished:
                summaries = {seed: json.loads(path.read_text()) for seed, path in finished.items()}
                found[f"{method}, {agents} agents"] = {str(seed): cell(s) for seed, s in summaries.items()}
                if agents == 2:
                    curves[method] = [curve(path.parent) for path in finished.values()]
                    draw(f"{method}, quick StrBuild", curves[method], images / f"{method}.png")
    draw_together(curves, images / "all.png")
    table.write_text(json.dumps(found, indent=1) + "\n")


def curve(run: Path) -> Curve:
    """(updates, 2): env steps and training score."""
    return np.array([(record["env_steps"], record["score"]) for record in read(run / "metrics.jsonl")])


def on_grid(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Env steps (points,) that all curves have, and their scores there (curves, points)."""
    grid = np.linspace(max(each[0, 0] for each in curves), min(each[-1, 0] for each in curves), 40)
    return grid, np.stack([np.interp(grid, *each.T) for each in curves])


def draw(title: str, curves: Sequence[Curve], path: Path) -> None:
    """The training score of the seeds: each one, their mean, and Student's 95 % interval of the mean over seeds."""
    figure, axes = canvas(title)
    for each in curves:
        axes.plot(*each.T, color="#0072B2", alpha=0.35, linewidth=0.9)
    grid, scores = on_grid(curves)
    mean = scores.mean(0)
    axes.plot(grid, mean, color="#0072B2", linewidth=2.2, label=f"mean of {len(curves)} seeds")
    if len(curves) > 1:
        half = half_widths(scores)
        axes.fill_between(grid, mean - half, mean + half, color="#0072B2", alpha=0.15, label="95 % interval over seeds")
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=130)


def draw_together(curves: Mapping[str, Sequence[Curve]], path: Path) -> None:
    """Every method's mean over its seeds; single-model methods, on their own form of the task, are dashed."""
    figure, axes = canvas("all methods, quick StrBuild: means over seeds")
    means = {method: (on_grid(each)[0], on_grid(each)[1].mean(0)) for method, each in curves.items()}
    for method in sorted(means, key=lambda name: -means[name][1][-1]):
        grid, mean = means[method]
        style = "--" if METHODS[method].single else "-"
        axes.plot(grid, mean, style, color=COLOURS[method], linewidth=1.8, label=f"{method} ({mean[-1]:.0f})")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=130)


def canvas(title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7.4, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlabel="env steps", ylabel="training score (0–100)", ylim=(0, 100), title=title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


if __name__ == "__main__":
    main()
