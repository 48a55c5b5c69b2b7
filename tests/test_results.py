"""docs/results: every table and number there is what the raw data gives, by the command that stands beside it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import results
import results_claims
from marked import names
from results_speed import gained

from collm.comparison.data import Comparison
from collm.comparison.records import FILE as FILE_OF_RECORD
from collm.comparison.records import load, made_otherwise
from collm.comparison.runner import Runner
from collm.comparison.study import FILE, read_study
from collm.evaluation.stats import Estimate
from collm.training.run_folder import RunFolder, make_folder
from collm.training.setup import build_task

STUDIES: Mapping[str, Comparison] = results.studies()


@pytest.mark.parametrize("page", results.PAGES, ids=lambda page: page.name)
def test_pages_are_what_the_data_gives(page: Path) -> None:
    """What `python benchmarks/results.py` writes now."""
    assert results.filled(page.read_text(), STUDIES) == page.read_text()


def test_every_generated_part_has_a_source() -> None:
    known = {f"results {part}" for part in ("claims", "fresh", "map", "presets", "sparse", "sweep", "told", "why")}
    for name, study in STUDIES.items():
        tables = [*results.tables(study), *results.details(study)]
        known |= {f"results {name}: state", *(f"results {name}: {table.title}" for table in tables)}
    for page in results.PAGES:
        for part in names(page.read_text(), "results "):
            assert part in known or results.waiting(part, STUDIES), part


def test_a_machine_with_only_the_repository_goes_on(tmp_path: Path) -> None:
    """Restored cells are finished for the runner, and gathered again they are the raw data, byte for byte."""
    runs, data = tmp_path / "runs", tmp_path / "data"
    results.restore(runs, results.DATA)
    for name, study in STUDIES.items():
        plan = read_study(runs / name / FILE)
        cells = [results.cell_of(record) for record in study.records]
        runner = Runner(plan, runs / name, cells)
        assert {runner.status(cell).state for cell in cells} == {"finished"}
    results.gather(runs, data)
    for path in results.DATA.rglob("*.jsonl"):
        assert (data / path.relative_to(results.DATA)).read_bytes() == path.read_bytes()


def test_gathering_loses_no_cell(tmp_path: Path) -> None:
    """A machine that ran one cell more adds it to those of the repository."""
    name = next(iter(STUDIES))
    runs, data = tmp_path / "runs", tmp_path / "data"
    shutil.copytree(results.DATA / name, data / name)
    own = {**STUDIES[name].records[0], "seed": 1000}
    shutil.copytree(results.DATA / name, runs / name, ignore=shutil.ignore_patterns("*.jsonl"))
    RunFolder(make_folder(runs / name / results.cell_of(own).path)).write_json(FILE_OF_RECORD, own)
    results.gather(runs, data)
    assert len(list(load(data / name))) == len(STUDIES[name].records) + 1


def test_a_study_that_has_only_begun_is_not_gathered(tmp_path: Path) -> None:
    """Its plan alone is no data."""
    runs, data = tmp_path / "runs", tmp_path / "data"
    (runs / "map").mkdir(parents=True)
    shutil.copy(results.DATA / "map" / FILE, runs / "map" / FILE)
    results.gather(runs, data)
    assert not data.exists()


def test_two_results_of_one_cell_are_not_mixed(tmp_path: Path) -> None:
    """The same cell with another record is older there or here; nobody overwrites it unasked."""
    name = next(iter(STUDIES))
    runs, data = tmp_path / "runs", tmp_path / "data"
    shutil.copytree(results.DATA / name, data / name)
    first = STUDIES[name].records[0]
    other = {**first, "seconds": 1.0}
    shutil.copytree(results.DATA / name, runs / name, ignore=shutil.ignore_patterns("*.jsonl"))
    RunFolder(make_folder(runs / name / results.cell_of(first).path)).write_json(FILE_OF_RECORD, other)
    with pytest.raises(SystemExit, match=f"{results.cell_of(first)}: the raw data has other results"):
        results.gather(runs, data)
    assert {path.name: path.read_bytes() for path in (data / name).iterdir()} == {
        path.name: path.read_bytes() for path in (results.DATA / name).iterdir()
    }


def test_studies_share_most_held_out_words() -> None:
    """What the protocol says of words that are drawn anew, and the page on the told critic."""
    words = []
    for name in ("main", "why", "told"):
        found = STUDIES[name].study
        assert found is not None
        cell = next(cell for cell in found.cells() if cell.setting == "flagship")
        words.append({problem.id for problem in build_task(found.config(cell)).problems("test")})
    assert [len(one) for one in words] == [128] * 3
    assert [len(one & other) for one, other in itertools.combinations(words, 2)] == [120] * 3
    for page in (results.RESULTS / "protocol.md", results.RESULTS / "README.md"):
        assert (
            "120 of the 128" in page.read_text()
            or "of the 128 on which one study measures its teams, 120" in page.read_text()
        )


def test_studies_share_most_held_out_houses() -> None:
    """What the protocol says of houses that are drawn anew."""
    houses = []
    for name in ("main", "house"):
        plan = read_study(results.PLANS / f"{name}.yaml")
        cell = next(cell for cell in plan.cells() if cell.setting == "house-build")
        houses.append({problem.id for problem in build_task(plan.config(cell)).problems("test")})
    assert [len(one) for one in houses] == [128, 128]
    assert len(houses[0] & houses[1]) == 119
    assert "119 of the 128 test houses" in (results.RESULTS / "protocol.md").read_text()


@pytest.mark.parametrize("plan", sorted(results.PLANS.glob("*.yaml")), ids=lambda plan: plan.stem)
def test_plans_can_be_run(plan: Path) -> None:
    study = read_study(plan)
    study.check()
    assert len(set(study.cells())) == len(list(study.cells()))


@pytest.mark.parametrize("name", STUDIES)
def test_data_was_made_by_its_plan(name: str) -> None:
    """Every record is of a planned cell and has that cell's settings and budget."""
    found = STUDIES[name]
    assert found.study is not None
    planned = set(map(str, found.study.cells()))
    for record in found.records:
        cell = results.cell_of(record)
        assert str(cell) in planned
        config = found.study.config(cell)
        assert record["conditions"]["env_steps"] == config.env_steps
        assert not made_otherwise(record, config, found.study.arms[cell.arm].method), cell
        if "curve" in record:
            assert record["env_steps"] >= config.env_steps
            assert record["curve"]["env_steps"][-1] == record["env_steps"]


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [
        ([(-1, 1), (-2.9, 2)], results_claims.SUPPORTED),
        ([(-1, 1), (-4, 2)], results_claims.UNDECIDED),
        ([(-1, 1), (3.5, 6)], results_claims.AGAINST),
    ],
)
def test_about_equal(intervals: list[tuple[float, float]], verdict: str) -> None:
    assert results_claims.equality([Estimate(0.0, *ends, 5) for ends in intervals]) == verdict


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((0.1, 5.0), results_claims.SUPPORTED),
        ((-5.0, -0.1), results_claims.AGAINST),
        ((-1.0, 2.9), results_claims.AGAINST),
        ((-1.0, 3.1), results_claims.UNDECIDED),
    ],
)
def test_better(interval: tuple[float, float], verdict: str) -> None:
    assert results_claims.better(Estimate(sum(interval) / 2, *interval, 20)) == verdict


def test_env_steps_to_the_level() -> None:
    """Seeds are paired, and those that do not get there with both are counted and not averaged."""
    rows = {("slow", 0): [50, 70, 90], ("slow", 1): [50, 70, 90], ("slow", 2): [50, 60, 70], ("slow", 3): [90, 90, 90]}
    rows |= {("fast", seed): [50, 90, 90] for seed in range(3)}
    records = [
        {
            **STUDIES["told"].records[0],
            "setting": "flagship",
            "arm": arm,
            "seed": seed,
            "curve": {"env_steps": [100, 200, 300], "score": [float(score) for score in scores]},
        }
        for (arm, seed), scores in rows.items()
    ]
    ratio, common = results_claims.steps(Comparison(records), "flagship", "slow", "fast")
    assert ratio is not None
    assert (ratio.value, ratio.seeds, common) == (pytest.approx(1.5), 2, 3)


def test_areas_without_the_warm_up() -> None:
    """A curve that begins two updates later is behind by those, and by nothing else."""
    learnt = {"magrpo": [40.0, 60.0, 70.0, 80.0], "collm-cc": [30.0, 30.0, 40.0, 60.0]}
    records = [
        {
            **record,
            "conditions": {**record["conditions"], "env_steps": 400},
            "before": {"sampled": {"score": 30.0}},
            "curve": {"env_steps": [100, 200, 300, 400], "score": learnt[record["arm"]]},
        }
        for record in STUDIES["map"].records
        if record["setting"] == "h1" and record["arm"] in learnt
    ]
    groups = Comparison(records).groups
    pair = groups["h1", "collm-cc"], groups["h1", "magrpo"]
    assert [one.records[0]["config"]["critic"]["warmup_updates"] for one in pair] == [2, 0]
    whole, later = gained(*pair), gained(*pair, warm=False)
    assert whole is not None
    assert later is not None
    assert (whole.value, later.value, later.seeds) == (pytest.approx(-20.0), 0.0, 5)
