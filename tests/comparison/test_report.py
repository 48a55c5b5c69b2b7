"""What is made of records: estimates, refusals, tables, and a page that needs nothing else."""

from __future__ import annotations

import csv
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from collm.commands.report import of_runs
from collm.comparison import records
from collm.comparison.data import Comparison, load
from collm.comparison.figures import Drawer
from collm.comparison.report import summary, write
from collm.comparison.study import Arm, Setting, Study
from collm.comparison.tables import tables
from collm.errors import ConfigError
from tests.comparison.made import PROBLEMS, record

LEVELS = {"collm-cc": 90.0, "magrpo": 70.0}


def comparison(seeds: int = 3) -> Comparison:
    found = [
        record(setting, arm, seed, level)
        for setting in ("str-build", "tldr")
        for arm, level in LEVELS.items()
        for seed in range(seeds)
    ]
    return Comparison([*found, *(record("tldr", "raw", seed, 30.0, trained=False) for seed in range(seeds))])


def test_differences_are_paired_over_seeds_and_problems() -> None:
    found = comparison()
    gap = found.difference("tldr", "collm-cc", "magrpo")
    by_hand = [
        np.mean(a["after"]["per_problem"]) - np.mean(b["after"]["per_problem"])
        for a, b in zip(found.groups["tldr", "collm-cc"].records, found.groups["tldr", "magrpo"].records, strict=True)
    ]
    assert gap is not None
    assert gap.value == pytest.approx(np.mean(by_hand))
    assert (gap.seeds, gap.sign) == (3, 1)


def test_only_common_seeds_are_paired() -> None:
    found = Comparison(
        [record("tldr", arm, seed, 50.0) for arm, seeds in (("a", (0, 1)), ("b", (1, 2))) for seed in seeds]
    )
    gap = found.difference("tldr", "a", "b")
    assert gap is not None
    assert gap.seeds == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env_steps": 800}, "env steps 400 and 800"),
        ({"problems": 9}, "problems 8 and 9"),
        ({"options": {"turns": 4}}, "turns 3 and 4"),
    ],
)
def test_cells_that_disagree_are_refused(change: dict[str, object], message: str) -> None:
    one, other = record("tldr", "a", 0, 50.0), record("tldr", "b", 0, 50.0)
    other["conditions"] |= change
    with pytest.raises(ConfigError, match=f"tldr/a/0 and tldr/b/0 cannot be compared: {message}"):
        Comparison([one, other])


def test_missing_cells_are_named_and_not_averaged_over(tmp_path: Path) -> None:
    study = Study({"tldr": Setting("tldr")}, {"collm-cc": Arm("collm-cc"), "magrpo": Arm("magrpo")}, 3, preset="quick")
    found = Comparison([record("tldr", "collm-cc", seed, 90.0) for seed in (0, 2)], study)
    assert [str(cell) for cell in found.missing] == [
        "tldr/magrpo/0",
        "tldr/collm-cc/1",
        "tldr/magrpo/1",
        "tldr/magrpo/2",
    ]
    assert tables(found)[0].rows[0][:2] == ("collm-cc", "2 of 3")
    said = write(found, tmp_path, "a command", {})
    assert "4 planned cells not finished" in said["warnings"][0]
    assert said["scores"]["tldr"]["collm-cc"]["value"] == pytest.approx(
        np.mean(found.groups["tldr", "collm-cc"].scores)
    )


def test_one_seed_gives_no_intervals_and_says_why(tmp_path: Path) -> None:
    said = write(comparison(seeds=1), tmp_path, "a command", {})
    assert "a single training says nothing" in said["warnings"][0]
    assert said["scores"]["tldr"]["collm-cc"]["low"] is None
    assert "[" not in (tmp_path / "tables.md").read_text().split("\n\n", 1)[1].replace("[95 %", "")


def test_nothing_finished_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cell of the comparison is finished"):
        load(tmp_path)


def test_records_survive_their_files(tmp_path: Path) -> None:
    found = comparison()
    records.save(found.records, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["str-build.jsonl", "tldr.jsonl"]
    assert load(tmp_path).records == [json.loads(json.dumps(one)) for one in found.records]


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    said = write(comparison(), tmp_path, "collm report somewhere", {})
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert page.count('src="data:image/png;base64,') == len(said["figures"]) >= 7
    assert "collm report somewhere" in page
    for sentence in said["short"]:
        assert sentence.replace("'", "&#39;") in page
    assert said["short"][0].startswith("str-build: collm-cc scores highest")
    assert "higher than magrpo" in said["short"][0]
    rows = list(csv.reader((tmp_path / "tables" / "tldr--held-out-problems.csv").open()))
    assert [row[0] for row in rows] == ["arm", "collm-cc", "magrpo", "raw"]


def test_the_best_of_many_is_not_higher_by_having_been_picked() -> None:
    """Against one other method an interval of 95 % decides; against each of many that were looked at it does not."""

    def said(others: int) -> str:
        spread = (-0.3, 0.3, 0.9, -0.9)
        found = [record("tldr", "best", seed, 72.0) for seed in range(4)]
        for arm, seed in itertools.product(range(others), range(4)):
            found.append(record("tldr", f"arm-{arm}", seed, 70.0 + spread[seed]))
        return next(summary(Comparison(found)))

    assert said(1).endswith("; higher than arm-0.")
    assert "against arm-0" in said(6)
    assert "nothing is decided" in said(6)


def test_what_only_some_runs_measured_is_left_out() -> None:
    """Runs of an earlier version did not keep what play took."""
    old = record("tldr", "magrpo", 1, 70.0)
    for name in ("seconds_per_problem", "tokens_written"):
        del old["after"]["sampled"][name]
    found = Comparison([record("tldr", "magrpo", 0, 70.0), old, record("tldr", "collm-cc", 0, 90.0)])
    rows = {row[0]: row[-2:] for row in tables(found)[0].rows}
    assert rows == {"magrpo": ("–", "–"), "collm-cc": ("10", "12, 13")}


def test_runs_are_told_apart_by_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {
        "a/run": record("tldr", "magrpo", 0, 70.0),
        "b/run": record("tldr", "magrpo", 0, 70.0),
        "c": record("tldr", "collm-cc", 0, 70.0),
        "d": record("tldr", "collm-cc", 1, 70.0),
    }
    monkeypatch.setattr(records, "of_run", lambda path: dict(made[path.relative_to(tmp_path).as_posix()]))

    def arms(*names: str) -> list[str]:
        return [found["arm"] for found, _ in of_runs([tmp_path / name for name in names])]

    assert arms("a/run", "b/run") == ["a/run", "b/run"]
    assert arms("a/run", "a/run") == ["magrpo"]
    assert arms("c", "d", "a/run") == ["collm-cc", "collm-cc", "magrpo"]
    made["d"]["config"] = {"policy": {"lr": 1e-4}}
    assert arms("c", "d") == ["c", "d"]


def test_compact_keeps_five_digits() -> None:
    assert records.compact({"a": [1 / 3, np.float64(123456.7)], "b": 7}) == {"a": [0.33333, 123460.0], "b": 7}
    assert len(record("tldr", "a", 0, 1.0)["after"]["per_problem"]) == PROBLEMS


@pytest.mark.parametrize(
    "text", ['{"a": ', "{}", "[]", '{"setting": "tldr", "arm": "a", "seed": 0, "conditions": {}, "after": {}}']
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cells" / "tldr" / "a" / "seed-0" / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"record\.json .*Remove it and repeat"):
        load(tmp_path)
    (tmp_path / "tldr.jsonl").write_text(text + "\n")
    path.unlink()
    with pytest.raises(ConfigError, match=r"tldr\.jsonl, line 1 is no record"):
        load(tmp_path)


def test_more_env_steps_than_the_budget_are_said(tmp_path: Path) -> None:
    found = Comparison([record("tldr", "magrpo", seed, 50.0, env_steps=500) for seed in (0, 1)])
    said = write(found, tmp_path, "a command", {})
    assert said["warnings"] == [
        "tldr/magrpo: up to 500 env steps for a budget of 400, because whole updates are played. A larger budget, or a "
        "smaller rollout.problems, comes nearer."
    ]


def test_arms_of_ones_own_have_no_method_s_colour(tmp_path: Path) -> None:
    arms = ("collm-cc", "magrpo", "gentle", "bold", "slow", "swift")
    drawer = Drawer(Comparison([record("tower", arm, 0, 50.0) for arm in arms]), tmp_path)
    assert len({drawer.colours[arm] for arm in arms}) == len(arms)
