"""The evidence of docs/results, from its raw data: python benchmarks/results.py

Studies are planned in docs/results/plans/NAME.yaml and run by ``collm compare --study … --out runs/results/NAME``. With
``--gather`` the finished cells found there go to docs/results/data/NAME, a line of JSON each; with ``--restore`` they come
back from there, so that a machine that has only the repository goes on with what is missing. Tables and figures are made of
that data alone; those in documents stand between ``<!-- results NAME … -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import results_beside
import results_claims
import results_map
import results_presets
import results_sweep
import results_told
import results_why
from marked import fill

from collm.comparison import records
from collm.comparison.data import Comparison
from collm.comparison.figures import Drawer
from collm.comparison.study import FILE, Cell, read_study
from collm.comparison.tables import details, tables
from collm.training.run_folder import RunFolder, make_folder

ROOT = Path(__file__).parent.parent
RESULTS, IMAGES = ROOT / "docs" / "results", ROOT / "docs" / "images" / "results"
PLANS, DATA, RUNS = RESULTS / "plans", RESULTS / "data", ROOT / "runs" / "results"
PAGES = (ROOT / "README.md", RESULTS / "README.md", RESULTS / "tuning.md", RESULTS / "tables.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gather", action="store_true", help="take in the finished cells of runs/results first")
    parser.add_argument(
        "--restore", action="store_true", help="put the cells of docs/results/data into runs/results first"
    )
    chosen = parser.parse_args()
    if chosen.restore:
        restore(RUNS, DATA)
    if chosen.gather:
        gather(RUNS, DATA)
    found = studies()
    shown = "\n".join(page.read_text() for page in PAGES)
    for name, study in {**found, **results_why.few(found)}.items():
        draw(name, study, shown)
    results_map.draw(found, IMAGES)
    for page in PAGES:
        page.write_text(filled(page.read_text(), found))


def gather(runs: Path, data: Path) -> None:
    """Take the records of all finished cells into the raw data. What is there stays.

    Raises SystemExit if a cell has another record there: one of the two is older, and nothing says which.
    """
    for plan in sorted(PLANS.glob("*.yaml")):
        folder, kept = runs / plan.stem, data / plan.stem
        here = {cell_of(record): record for record in records.load(folder)} if (folder / FILE).is_file() else {}
        if here:
            known = {cell_of(record): record for record in records.load(kept)}
            if twice := [str(cell) for cell, record in here.items() if known.get(cell, record) != record]:
                raise SystemExit(
                    f"{folder}: {', '.join(twice)}: the raw data has other results of the same cells. Remove those here, "
                    f"or the lines in {kept}."
                )
            records.save({**known, **here}.values(), kept)
            shutil.copy(folder / FILE, kept / FILE)


def restore(runs: Path, data: Path) -> None:
    """Put the records of the raw data where ``collm compare`` looks for finished cells; cells that have a folder keep it."""
    for plan in sorted(data.glob(f"*/{FILE}")):
        folder = runs / plan.parent.name
        for record in records.load(plan.parent):
            cell = folder / cell_of(record).path
            if not cell.is_dir():
                RunFolder(make_folder(cell)).write_json(records.FILE, record)
        if not (folder / FILE).is_file():
            shutil.copy(plan, folder / FILE)


def studies() -> dict[str, Comparison]:
    """Every study that has data, by name; its plan says which cells are missing."""
    folders = [DATA / plan.stem for plan in sorted(PLANS.glob("*.yaml")) if any((DATA / plan.stem).glob("*.jsonl"))]
    return {
        folder.name: Comparison(records.load(folder), read_study(PLANS / f"{folder.name}.yaml")) for folder in folders
    }


def draw(name: str, found: Comparison, shown: str) -> None:
    """Those figures of a study that the pages show."""
    with tempfile.TemporaryDirectory() as folder:
        for drawn in Drawer(found, Path(folder)).all():
            path = IMAGES / name / drawn.path.name
            if f"images/results/{name}/{path.name}" in shown:
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(drawn.path, path)
                print(path.relative_to(ROOT))


def filled(page: str, found: Mapping[str, Comparison]) -> str:
    """A page with its generated parts as they should be now."""
    for name, study in found.items():
        for table in [*tables(study), *details(study)]:
            page = fill(page, f"results {name}: {table.title}", table.markdown())
        page = fill(page, f"results {name}: state", state(study))
    page = fill(page, "results claims", results_claims.table(found).markdown())
    page = fill(page, "results why", results_why.block(found))
    for beside in (results_beside.FRESH, results_beside.SPARSE):
        page = fill(page, f"results {beside.study}", beside.block(found))
    page = fill(page, "results told", results_told.block(found))
    page = fill(page, "results presets", results_presets.block(found))
    page = fill(page, "results sweep", results_sweep.block(found))
    return fill(page, "results map", results_map.block(found))


def cell_of(record: records.Record) -> Cell:
    """Which cell a record is of."""
    return Cell(record["setting"], record["arm"], record["seed"])


def waiting(part: str, found: Mapping[str, Comparison]) -> bool:
    """Whether a generated part is of a study that has no data yet, or of trained teams where none is finished."""
    name, _, rest = part.removeprefix("results ").partition(": ")
    if name not in found:
        return (PLANS / f"{name}.yaml").is_file()
    setting, plan = rest.partition(": ")[0], found[name].study
    trained = {group.setting for group in found[name].groups.values() if group.trained}
    if rest.startswith("All settings"):
        return len(trained) < 2
    return plan is not None and setting in {*plan.settings} - trained


def state(found: Comparison) -> str:
    """How much of a study there is."""
    there, missing = len(found.records), len(found.missing)
    if not missing:
        return f"All {there} cells are finished."
    return f"{there} of {there + missing} cells are finished; {missing} are not, and are averaged over nowhere."


if __name__ == "__main__":
    main()
