"""Fill docs/performance.md from the results of ``collm bench``: python benchmarks/performance.py runs/bench-vs

With a second folder, of ``collm bench --parts sweeps --sweeps turns --shape 100M``, also the sweep of a larger model.
Between ``<!-- bench NAME -->`` and ``<!-- end -->`` stands the table of that name, ``made with`` what it was measured on.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marked import fill

from collm.bench.report import tables

_COST = "cost and size"
DOCS = Path(__file__).parent.parent / "docs"
PAGE, IMAGES = DOCS / "performance.md", DOCS / "images" / "performance"


def main(folder: Path, larger: Path | None = None) -> None:
    found = json.loads((folder / "bench.json").read_text())
    PAGE.write_text(filled(PAGE.read_text(), found))
    if larger is not None:
        PAGE.write_text(with_larger(PAGE.read_text(), json.loads((larger / "bench.json").read_text())))
    IMAGES.mkdir(parents=True, exist_ok=True)
    for figure in folder.glob("*.png"):
        shutil.copy(figure, IMAGES / figure.name)


def filled(page: str, found: Mapping[str, Any]) -> str:
    """The page with the tables of these results; blocks that they say nothing about stay."""
    for table in tables(dict(found)):
        page = fill(page, f"bench {table.title}", table.markdown())
    return fill(page, "bench made with", made_with(found))


def with_larger(page: str, found: Mapping[str, Any]) -> str:
    """The page with the sweep of a larger model."""
    (table,) = (table for table in tables(dict(found)) if table.title == _COST)
    command = f"collm bench --parts sweeps --sweeps turns --shape {found['settings']['shape']} --out runs/bench-larger"
    return fill(page, f"bench {_COST}, larger model", f"```\n{command}\n```\n\n{table.markdown()}")


def made_with(found: Mapping[str, Any]) -> str:
    """Machine, versions and settings in a few lines."""
    machine, settings = found["machine"], found["settings"]
    sides = [side for result in found["results"].values() for side in (result.get("ours"), result.get("theirs"))]
    versions = [side["versions"] for side in sides if isinstance(side, dict) and "versions" in side]
    used = {name: version for one in versions for name, version in one.items()}
    gpus = ", ".join(machine["gpus"]) or "none"
    chosen = ", ".join(
        f"{name} {settings[name]}" for name in ("threads", "device", "rounds", "shape", "memory_shape", "target_budget")
    )
    look = " A look with small sizes, not a result." if settings["quick"] else ""
    return (
        f"{machine['processor']}, {machine['processors']} processors, {machine['system']}; GPUs: {gpus}. "
        f"Versions: {', '.join(f'{name} {version}' for name, version in sorted(used.items()))}. Settings: {chosen}.{look}"
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
