"""Measure the untrained teams and write the tables of docs/baselines.md: python benchmarks/baselines.py

Between ``<!-- baselines COMMAND -->`` and ``<!-- end -->`` stands what ``collm baseline COMMAND`` measures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marked import fill, names

PAGE = Path(__file__).parent.parent / "docs" / "baselines.md"
HEAD = (
    "| protocol | score, 95 % interval | greedy | paper score | final | contribution | s/problem | read | written |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    for name in names(PAGE.read_text(), "baselines "):
        PAGE.write_text(fill(PAGE.read_text(), name, block(name.removeprefix("baselines "))))


def block(command: str) -> str:
    """The command, its table, and what it was measured with."""
    finished = subprocess.run(
        [sys.executable, "-m", "collm", "baseline", *command.split(), "--json"], check=True, stdout=subprocess.PIPE
    )
    found = json.loads(finished.stdout)
    models = {name: row["protocol"] for row in found["rows"] for name in row["model_hashes"]}
    used = ", ".join(f"{name} ({protocol})" if protocol == "raw" else name for name, protocol in models.items())
    made = f"{found['problems']} {found['split']} problems, threads: {found['threads']}, model {used}"
    return "\n".join([f"```\ncollm baseline {command}\n```\n", HEAD, *map(_row, found["rows"]), f"\n{made}."])


def _row(row: Mapping[str, Any]) -> str:
    sampled = row["sampled"]
    low, high = sampled["score_ci95"]
    cells = (
        row["protocol"],
        f"{sampled['score']:.1f} [{low:.1f}, {high:.1f}]",
        f"{row['greedy']['score']:.1f}",
        f"{sampled['paper_score']:.1f}",
        f"{sampled['final']:.2f}",
        _listed(sampled["contribution"], 2),
        f"{sampled['seconds_per_problem']:.3f}",
        _listed(sampled["tokens_read"], 0),
        _listed(sampled["tokens_written"], 0),
    )
    return f"| {' | '.join(cells)} |"


def _listed(numbers: Sequence[float], digits: int) -> str:
    return ", ".join(f"{number:.{digits}f}" for number in numbers)


if __name__ == "__main__":
    main()
