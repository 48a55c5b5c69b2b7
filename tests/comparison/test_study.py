"""Plans of comparisons: what they say, what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from collm import options
from collm.comparison.runner import begun
from collm.comparison.study import Arm, Cell, Setting, Study, read_study, simple, to_yaml
from collm.config import comparable
from collm.errors import ConfigError
from collm.training.run_folder import RunFolder, make_folder
from tests.comparison.made import record


def begin(study: Study, out: Path) -> None:
    with begun(study, out):
        pass


PLAN = """
preset: quick
values: {policy: {lr: 2.0e-4}, critic: {lr: 3.0e-4}}
seeds: 2
first_seed: 10
arms:
  raw: {}
  magrpo: {}
  gentle: {method: collm-cc, values: {policy: {lr: 1.0e-4}}}
settings:
  tldr: {}
  tower:
    task: str-build
    env_steps: 512
    values: {task: {reward: terminal}}
    seeds: {gentle: 3}
    arms: [gentle, raw]
    arm_values: {raw: {sampling: {max_new_tokens: 77}}}
"""


def plan(tmp_path: Path, text: str = PLAN) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    return path


def test_cells_come_seed_by_seed(tmp_path: Path) -> None:
    study = read_study(plan(tmp_path))
    study.check()
    cells = [str(cell) for cell in study.cells()]
    first = ["tldr/raw/10", "tldr/magrpo/10", "tldr/gentle/10", "tower/gentle/10", "tower/raw/10"]
    assert cells[:5] == first
    assert cells[5:10] == [name.replace("/10", "/11") for name in first]
    assert cells[10:] == ["tower/gentle/12"]


def test_a_cell_has_the_values_of_its_setting_and_of_its_arm(tmp_path: Path) -> None:
    study = read_study(plan(tmp_path))
    config = study.config(Cell("tower", "gentle", 12))
    assert (config.method, config.policy.lr, config.task.reward) == ("collm-cc", 1e-4, "terminal")
    assert (config.critic.lr, study.config(Cell("tldr", "magrpo", 10)).policy.lr) == (3e-4, 2e-4)
    assert (config.seed, config.env_steps, config.run.threads, config.preset) == (12, 512, 1, "quick")
    assert study.config(Cell("tldr", "magrpo", 10)).env_steps == study.budget("tldr") == 4032
    assert study.config(Cell("tldr", "raw", 10)).model == "small"
    tokens = [study.config(Cell(name, "raw", 10)).sampling.max_new_tokens for name in ("tldr", "tower")]
    assert tokens == [96, 77]


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    study = read_study(plan(tmp_path))
    assert read_study(plan(tmp_path, to_yaml(study))) == study


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("magrpo", "magrpoo", "Did you mean 'magrpo'"),
        ("collm-cc", "colm-cc", "Did you mean 'collm-cc'"),
        ("tldr:", "tlddr:", "Did you mean 'tldr'"),
        ("lr: 1.0e-4", "lrr: 1.0e-4", "tldr, gentle: .*Did you mean 'policy.lr'"),
        ("seeds: 2", "seed: 2", "Did you mean 'seeds'"),
        ("seeds: 2", "seeds: two", "expected int"),
        ("seeds: 2", "seeds: 0", "at least 1"),
        ("[gentle, raw]", "[gentel, raw]", "Did you mean 'gentle'"),
        ("{gentle: 3}", "{gentel: 3}", "Did you mean 'gentle'"),
        ("{raw: {s", "{rwa: {s", "Did you mean 'raw'"),
        ("  tldr: {}", "  tldr: [1, 2]", "settings.tldr = .1, 2.: expected keys with values"),
        ("  magrpo: {}", "  magrpo: 3", "arms.magrpo = 3: expected keys with values"),
        ("seeds: {gentle: 3}", "seeds: 3", "settings.tower.seeds = 3: expected keys with values"),
        ("{gentle: 3}", "{gentle: many}", "expected a number of seeds, at least 1"),
        ("{gentle: 3}", "{gentle: 0}", "expected a number of seeds, at least 1"),
        ("values: {task: {reward: terminal}}", "values: hello", "expected keys with values"),
        ("values: {policy: {lr: 1.0e-4}}", "values: [policy]", "expected keys with values"),
        ("{raw: {sampling: {max_new_tokens: 77}}}", "{raw: 3}", "expected keys with values"),
        ("values: {policy: {lr: 2.0e-4}, critic: {lr: 3.0e-4}}", "values: 3", "values = 3: expected keys"),
        ("{policy: {lr: 2.0e-4}, critic: {lr: 3.0e-4}}", "{seed: 3}", "seed is not set there"),
        ("arms: [gentle, raw]", "arms: []", "settings.tower.arms names none"),
        ("{policy: {lr: 1.0e-4}}", "{seed: 3}", "seed is not set there. A plan has seeds"),
        ("values: {task: {reward: terminal}}", "values: {env_steps: 9}", "It belongs to the setting"),
        ("  tower:", "  ../tower:", "names a folder"),
        ("terminal", "terminall", "Did you mean 'terminal'"),
        ("preset: quick", "preset: quik", "Did you mean 'quick'"),
    ],
)
def test_bad_plans_say_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_study(plan(tmp_path, PLAN.replace(old, new, 1))).check()


def test_a_plan_needs_arms(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'arms' has to name at least one"):
        read_study(plan(tmp_path, "settings: {tldr: {}}"))


def test_a_comparison_may_grow_but_not_change(tmp_path: Path) -> None:
    out, cell = tmp_path / "out", Cell("str-build", "magrpo", 0)
    study = simple(["str-build"], ["magrpo"], 1, 512, "quick", {})
    begin(study, out)
    RunFolder(make_folder(out / cell.path)).write_config(options.to_mapping(study.config(cell)))
    begin(simple(["str-build", "tldr"], ["magrpo", "raw"], 3, 512, "quick", {}), out)
    with pytest.raises(ConfigError, match="str-build/magrpo/0 has env steps 512 and 1024"):
        begin(simple(["str-build"], ["magrpo"], 3, 1024, "quick", {}), out)
    with pytest.raises(ConfigError, match="has a cell str-build/magrpo/0 that this comparison does not have"):
        begin(simple(["str-build"], ["raw"], 3, 512, "quick", {}), out)


def test_a_finished_cell_keeps_what_it_was_made_with(tmp_path: Path) -> None:
    """Whatever the presets have become since: a plan that says something else is refused."""
    study = simple(["str-build"], ["magrpo", "parallel"], 1, 512, "quick", {})
    begin(study, tmp_path)
    values = comparable(study.config(Cell("str-build", "magrpo", 0)))
    agreed = {"task": "str-build", "options": values["task"], "env_steps": 512}
    config = {**values, "policy": {**values["policy"], "lr": 0.123}}
    made = {"magrpo": config, "parallel": {"sampling": values["sampling"]}}
    for arm, config in made.items():
        folder = RunFolder(make_folder(tmp_path / Cell("str-build", arm, 0).path))
        folder.write_json("record.json", record("str-build", arm, 0, 50.0, conditions=agreed, config=config))
    with pytest.raises(ConfigError, match=r"str-build/magrpo/0 has lr 0\.123 and"):
        begin(study, tmp_path)
    begin(simple(["str-build"], ["magrpo", "parallel"], 1, 512, "quick", {"policy": {"lr": 0.123}}), tmp_path)
    changes = {"policy": {"lr": 0.123}, "sampling": {"temperature": 0.3}}
    with pytest.raises(ConfigError, match=r"str-build/.*/0 has temperature .* and 0\.3"):
        begin(simple(["str-build"], ["magrpo", "parallel"], 1, 512, "quick", changes), tmp_path)


def test_a_finished_team_that_was_not_trained_keeps_its_protocol(tmp_path: Path) -> None:
    def talking(protocol: str) -> Study:
        return Study({"str-build": Setting("str-build", 512)}, {"talk": Arm(protocol)}, 1, preset="quick")

    begin(talking("pipeline"), tmp_path)
    cell = Cell("str-build", "talk", 0)
    values = comparable(talking("pipeline").config(cell))
    agreed = {"task": "str-build", "options": values["task"], "env_steps": 512}
    made = record("str-build", "talk", 0, 50.0, trained=False, conditions=agreed, method="pipeline")
    RunFolder(make_folder(tmp_path / cell.path)).write_json("record.json", made)
    begin(talking("pipeline"), tmp_path)
    with pytest.raises(ConfigError, match="str-build/talk/0 has method pipeline and discussion"):
        begin(talking("discussion"), tmp_path)


def test_another_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="not a comparison"):
        begin(simple(["tldr"], ["raw"], 1, None, "quick", {}), tmp_path)
