"""The evidence of docs/results, from its raw data: python benchmarks/results.py

Studies are planned in docs/results/plans/NAME.yaml and run by ``collm compare --study … --out runs/results/NAME``. With
``--gather`` the finished cells found there go to docs/results/data/NAME, a line of JSON each. Tables and figures are made of
that data alone; those in documents stand between ``<!-- results NAME … -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import results_claims
import results_map
import results_presets
import results_why
from marked import fill

from collm.comparison import records
from collm.comparison.data import Comparison
from collm.comparison.figures import Drawer
from collm.comparison.study import FILE, Cell, read_study
from collm.comparison.tables import details, tables

ROOT = Path(__file__).parent.parent
RESULTS, IMAGES = ROOT / "docs" / "results", ROOT / "docs" / "images" / "results"
PLANS, DATA = RESULTS / "plans", RESULTS / "data"
PAGES = (ROOT / "README.md", RESULTS / "README.md", RESULTS / "tuning.md", RESULTS / "tables.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gather", action="store_true", help="take in the finished cells of runs/results first")
    if parser.parse_args().gather:
        gather(ROOT / "runs" / "results")
    found = studies()
    shown = "\n".join(page.read_text() for page in PAGES)
    for name, study in {**found, **results_why.few(found)}.items():
        draw(name, study, shown)
    results_map.draw(found, IMAGES)
    for page in PAGES:
        page.write_text(filled(page.read_text(), found))


def gather(runs: Path) -> None:
    """The records of all finished cells, without what only a machine wants."""
    for plan in sorted(PLANS.glob("*.yaml")):
        folder = runs / plan.stem
        if folder.is_dir():
            records.save(records.load(folder), DATA / plan.stem)
            shutil.copy(folder / FILE, DATA / plan.stem / FILE)


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
    page = fill(page, "results presets", results_presets.block(found))
    return fill(page, "results map", results_map.block(found))


def cell_of(record: records.Record) -> Cell:
    """Which cell a record is of."""
    return Cell(record["setting"], record["arm"], record["seed"])


def waiting(part: str, found: Mapping[str, Comparison]) -> bool:
    """Whether a generated part is of a study, or of a setting of one, that has no data yet."""
    name, _, rest = part.removeprefix("results ").partition(": ")
    if name not in found:
        return (PLANS / f"{name}.yaml").is_file()
    plan = found[name].study
    setting = rest.partition(": ")[0]
    # What is said of all settings together needs two of them.
    missing = len(found[name].settings) < 2 if rest.startswith("All settings") else setting not in found[name].settings
    return plan is not None and missing and (setting in plan.settings or rest.startswith("All settings"))


def state(found: Comparison) -> str:
    """How much of a study there is."""
    there, missing = len(found.records), len(found.missing)
    if not missing:
        return f"All {there} cells are finished."
    return f"{there} of {there + missing} cells are finished; {missing} are not, and are averaged over nowhere."


if __name__ == "__main__":
    main()
