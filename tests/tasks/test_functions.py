"""Tasks from functions: what agents see, what turns are paid, how rows are split, and what is refused and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

import collm
from collm.cli import run
from collm.errors import ConfigError, ProblemError, TaskError
from collm.models.policy import Policy
from collm.rollout.collector import Job, collect
from collm.rollout.sampling import Sampling
from collm.tasks import SPLITS, Message, Task, from_functions, make_task, registry, replay
from collm.testing import check_task
from tests.test_docs import blocks, small

ROWS = [{"id": f"r{number}", "word": "abcdefghij"[number] * 3} for number in range(10)]
SMALL = {
    "env_steps": 4,
    "rollout": {"problems": 2},
    "sampling": {"max_new_tokens": 4},
    "evaluation": {"test_problems": 2, "every": 0},
    "run": {"checkpoint_every": 1, "threads": 1},
}


def first(row: Any) -> str:
    return f"first: {row['word']}"


def second(row: Any) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"second: {row['word']}"}]


def share(responses: Sequence[str], row: Any) -> float:
    """Half for each agent that wrote the word."""
    return sum(0.5 for response in responses if response == row["word"])


def again(row: Any, responses: Sequence[Sequence[str]], turn: int) -> list[str] | None:
    """Ends when both are right."""
    return None if share(responses[-1], row) == 1 else [f"turn {turn}: again", f"turn {turn}: {responses[-1][0]}"]


def make(**changes: Any) -> Task:
    given: dict[str, Any] = {
        "rows": ROWS,
        "prompts": [first, second],
        "reward": share,
        "ceiling": 1.0,
        "best": lambda row: [row["word"]] * 2,
        "single": lambda text: [*text.split("|"), ""][:2],
    }
    return from_functions("words", **(given | changes))


def halves(responses: Sequence[str], row: Any) -> list[float]:
    return [float(response == row["word"]) for response in responses]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"turns": 3, "transition": again},
        {"turns": 3, "transition": again, "pays": "each"},
        {"reward": halves},
        {"reward": lambda responses, row: {"near": share(responses, row), "rule": 0.0}},
        {"floor": 0.0, "ceiling": lambda row: 1},
        {"prompts": [first], "reward": lambda responses, row: float(responses[0] == row["word"]), "single": None,
         "best": lambda row: [row["word"]]},
        {"single_prompt": first, "rows": {"train": ROWS[:5], "test": ROWS[5:]}},
    ],
)  # fmt: skip
def test_a_task_from_functions_keeps_the_protocol(changes: dict[str, Any]) -> None:
    check_task(make(**changes))


def test_agents_see_their_own_prompts() -> None:
    task = make()
    seen = task.reset(task.problem("r1")).observations
    assert seen == (
        (Message("user", "first: bbb"),),
        (Message("system", "Be brief."), Message("user", "second: bbb")),
    )


def test_the_transition_gets_all_turns_and_says_what_is_new() -> None:
    task = make(turns=3, transition=again)
    problem = task.problem("r0")
    one = task.step(problem, task.reset(problem).state, ["aaa", "no"])
    assert one.observations == ((Message("user", "turn 1: again"),), (Message("user", "turn 1: aaa"),))
    two = task.step(problem, one.state, ["no", "no"])
    assert two.state.responses == (("aaa", "no"), ("no", "no"))
    done = task.step(problem, two.state, ["aaa", "aaa"])
    assert (done.terminated, done.observations) == (True, None)
    early = task.step(problem, one.state, ["aaa", "aaa"])
    assert early.terminated


@pytest.mark.parametrize(("pays", "rewards"), [("change", [0.5, -0.5, 1.0]), ("each", [0.5, 0.0, 1.0])])
def test_what_turns_are_paid(pays: str, rewards: list[float]) -> None:
    """Half right, nothing right, all right: changes add up to the last turn's reward, which is the final."""
    task = make(turns=3, transition=again, pays=pays)
    plan = [["aaa", "no"], ["no", "no"], ["aaa", "aaa"]]
    found = replay(task, task.problem("r0"), plan)
    assert [reward for reward, _ in found.rewards] == rewards
    assert task.final(task.problem("r0"), found.state) == 1.0
    assert task.score(task.problem("r0"), found.state) == 100.0


def test_rewards_per_agent_and_named_components() -> None:
    task = make(reward=halves)
    problem = task.problem("r0")
    step = task.step(problem, task.reset(problem).state, ["aaa", "no"])
    assert task.per_agent_rewards
    assert step.reward == (1.0, 0.0)
    assert task.final(problem, step.state) == 0.5
    task = make(reward=lambda responses, row: {"near": 0.25, "long": 0.5, "reward": 0.75 * bool(responses[0])})
    step = task.step(problem, task.reset(problem).state, ["x", ""])
    assert (step.reward, dict(step.components)) == (0.75, {"near": 0.25, "long": 0.5, "reward": 0.75})


def test_one_writer_is_split_into_roles() -> None:
    task = make().single_agent()
    problem = task.problem("r0")
    start = task.reset(problem)
    (seen,) = start.observations
    assert seen == (Message("user", "[Agent 1]\nfirst: aaa\n\n[Agent 2]\nBe brief.\nsecond: aaa"),)
    assert task.step(problem, start.state, ["aaa|aaa"]).reward == 1.0
    assert task.step(problem, start.state, ["aaa|no"]).reward == 0.5
    with pytest.raises(NotImplementedError):
        make(single=None).single_agent()


def test_one_list_is_split_by_a_seed_whatever_its_order() -> None:
    def splits(**changes: Any) -> dict[str, set[str]]:
        task = make(**changes)
        return {split: {problem.id for problem in task.problems(split)} for split in SPLITS}

    found = splits(held_out=0.4)
    assert [len(found[split]) for split in SPLITS] == [6, 2, 2]
    assert set.union(*found.values()) == {row["id"] for row in ROWS}
    assert splits(held_out=0.4, rows=ROWS[::-1]) == found
    assert splits(held_out=0.4, seed=1) != found


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (5, "rows is int"),
        ("abc", "rows is str"),
        (None, "rows is NoneType"),
        ({"train": 5, "test": ROWS}, r"rows\['train'\] is int"),
    ],
)
def test_rows_that_are_none_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"{message}; give a list of rows"):
        make(rows=rows)


def test_rows_without_ids_are_named_by_what_they_hold() -> None:
    rows = [{"word": row["word"]} for row in ROWS]
    names = [[problem.id for problem in make(rows=part).problems("train")] for part in (rows, rows[::-1])]
    assert set(names[0]) == set(names[1])
    with pytest.raises(ConfigError, match=r"row 0 \('.*'\) and row 10 \('.*'\) have the same id"):
        make(rows=[*rows, rows[0]])
    assert make(rows=rows, id="word").problem("aaa").id == "aaa"
    assert make(rows=rows, id=lambda row: row["word"][0]).problem("a").id == "a"


def raises(responses: Sequence[str], row: Any) -> float:
    raise ZeroDivisionError("nothing to divide")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "duplicate id": (
        {"rows": [*ROWS, {"id": "r3", "word": "x"}]},
        r"row 3 \('r3'\) and row 10 \('r3'\) have the same id",
    ),
    "duplicate row": ({"rows": [*ROWS, {"id": "x", "word": "ddd"}]}, r"row 3 .* and row 10 .* are the same but for"),
    "missing field": ({"rows": [*ROWS, {"id": "x"}]}, r"row 10 \('x'\) lacks word, which row 0 \('r0'\) has"),
    "empty prompt": ({"prompts": [first, lambda row: " "]}, r"prompts\[1\] on problem 'r\d' gives an empty prompt"),
    "wrong role": ({"prompts": [lambda row: [{"role": "assistant", "content": "x"}]]}, "one of the roles system, user"),
    "overlap": (
        {"rows": {"train": ROWS[:6], "test": ROWS[5:]}},
        r"row 5 of 'train' \('r5'\) and row 0 of 'validation' \('r5'\) have the same id",
    ),
    "hidden overlap": (
        {"rows": {"train": ROWS[:6], "test": [{"id": "new", "word": "aaa"}]}},
        r"row 0 of 'train' \('r0'\) and row 0 of 'validation' \('new'\) are the same row",
    ),
    "unknown split": ({"rows": {"train": ROWS[:6], "tset": ROWS[6:]}}, "Did you mean 'test'"),
    "one split": ({"rows": {"train": ROWS}}, "'train' and 'test' are needed"),
    "empty split": ({"rows": {"train": ROWS, "test": []}}, "has no rows"),
    "too few rows": ({"rows": ROWS[:2]}, "2 rows leave none for training"),
    "held_out": ({"held_out": 1.5}, "held_out = 1.5: must be above 0 and below 1"),
    "no transition": ({"turns": 2}, "turns = 2 needs transition="),
    "no turns": ({"transition": again}, "only with several turns"),
    "pays": ({"pays": "chance"}, "Did you mean 'change'"),
    "floor": ({"floor": -1.0}, "floor = -1.0, but empty responses to problem .* earn 0"),
    "ceiling": ({"ceiling": 0.0}, "ceiling = 0.0 must be above 0"),
    "ceiling of another row": (
        {"ceiling": lambda row: 0.0 if row["id"] == "r7" else 1.0},
        "ceiling = 0.0 must be above 0.0, what empty responses to problem 'r7' earn",
    ),
    "floor of another row": (
        {"floor": lambda row: -1.0 if row["id"] == "r7" else 0.0},
        "floor = -1.0, but empty responses to problem 'r7' earn 0",
    ),
    "sometimes per agent": (
        {"reward": lambda responses, row: [0.0, 0.0] if row["id"] == "r7" else 0.0},
        "reward gives 2 numbers on problem 'r7' and 1 on|reward gives 1 numbers on problem '..' and 2 on 'r7'",
    ),
    "gamma nan": ({"gamma": float("nan")}, "gamma = nan: must be a number from 0 to 1"),
    "gamma 5": ({"gamma": 5}, "gamma = 5: must be a number from 0 to 1"),
    "gamma text": ({"gamma": "x"}, "gamma = 'x': must be a number from 0 to 1"),
    "one prompt": ({"prompts": first}, "must be a list with one function per agent"),
    "text prompts": ({"prompts": ["a", "b"]}, "must be a list with one function per agent"),
    "half a turn": ({"turns": 2.5, "transition": again}, r"turns = 2\.5: must be a whole number of at least 1"),
    "turns 0": ({"turns": 0}, "turns = 0: must be a whole number of at least 1"),
    "ceiling nan": ({"ceiling": float("nan")}, "ceiling = nan: must be a finite number, or a function"),
    "floor text": ({"floor": "low"}, "floor = 'low': must be a finite number, or a function"),
    "best": ({"best": ["aaa", "aaa"]}, "best = .*: must be a function, or left out"),
    "no agents": ({"prompts": []}, "one function per agent"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**changes)


@pytest.mark.parametrize("name", ["", "../x", "a b", ".x", None])
def test_a_name_has_to_fit_folders_and_commands(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"must be letters, digits, '-', '_' and '\.'"):
        from_functions(name, ROWS, [first, second], share, 1.0)


def test_the_name_of_a_built_in_task_is_taken() -> None:
    with pytest.raises(ConfigError, match="name = 'tldr' is a built-in task; choose one other than arxiv, coop-he"):
        from_functions("tldr", ROWS, [first, second], share, 1.0)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "prompt": (
        {"prompts": [first, lambda row: row["wrod"]]},
        r"prompts\[1\] failed on problem 'r\d' at turn 0: KeyError",
    ),
    "reward": ({"reward": raises}, r"reward, .* failed on problem 'r\d' .*ZeroDivisionError: nothing to divide"),
    "three rewards": ({"reward": lambda responses, row: [0.0] * 3}, "3 rewards for 2 agents"),
    "not a number": ({"reward": lambda responses, row: "good"}, "the reward is 'good'"),
    "no bound": ({"ceiling": lambda row: float("nan")}, "the ceiling is nan; expected finite numbers"),
    "taken name": ({"reward": lambda responses, row: {"score": 0.0}}, "a component is called 'score'"),
}


@pytest.mark.parametrize(("changes", "message"), BROKEN.values(), ids=BROKEN)
def test_functions_that_fail_while_rows_are_read(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": lambda responses, row: 1 / 0 if any(responses) else 0.0}, "at turn 0 .*ZeroDivisionError"),
        (
            {"reward": lambda responses, row: 2.0 if any(responses) else 0.0},
            r"at turn 0 .*2\.0 is above ceiling = 1\.0",
        ),
        ({"turns": 2, "transition": lambda row, responses, turn: 1 / 0}, "at turn 0 .*ZeroDivisionError"),
        ({"turns": 2, "transition": lambda row, responses, turn: ["one"]}, "at turn 0 .*expected 2 prompts, or None"),
        ({"turns": 2, "transition": lambda row, responses, turn: ["one", ""]}, "at turn 0 .*an empty prompt"),
    ],
)
def test_functions_that_fail_in_play_name_problem_turn_and_agents(
    changes: dict[str, Any], message: str, team: list[Policy]
) -> None:
    task = make(**changes)
    jobs = [Job(task.problem("r1"), 0)]
    with pytest.raises(
        TaskError, match=f"'words' failed on problem 'r1' {message}".replace("at turn 0 ", r"at turn 0 \(agents 0, 1\)")
    ):
        collect(task, team, jobs, Sampling(max_new_tokens=4), ("t",))


def test_an_unknown_row_is_named() -> None:
    with pytest.raises(ProblemError, match=r"no row with the id 'r77'\. It has, for instance, r"):
        make().problem("r77")


def test_an_object_trains_is_resumed_and_loaded_with_the_same_object(tmp_path: Path) -> None:
    out, task = tmp_path / "run", make()
    config = collm.resolve(task, values=SMALL)
    summary = collm.train(config, out, task=task)
    assert (summary["task"], summary["updates"]) == ("words", 2)
    assert collm.resume(out, task=make())["trained"] == summary["trained"]
    _, loaded, team = collm.load_team(out, task=make())
    assert len(team) == loaded.agents == 2


def test_a_missing_or_another_object_is_refused_kindly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, task = tmp_path / "run", make()
    config = collm.resolve(task, values=SMALL)
    with pytest.raises(ConfigError, match=r"'words' .* Pass the same one: collm\.train\(config, out, task=task\)"):
        collm.train(config, out)
    collm.train(config, out, task=task)
    with pytest.raises(ConfigError, match=r"collm\.resume\(run, task=task\)"):
        collm.resume(out)
    with pytest.raises(ConfigError, match=r"asked for with rows = '.*' instead of"):
        collm.resume(out, task=make(rows=ROWS[:9]))
    with pytest.raises(ConfigError, match="the run's task is 'words', and the task 'str-build' was passed"):
        collm.load_team(out, task=make_task("str-build"))
    assert run(["eval", str(out)]) == 2
    assert "entry point in the group 'collm.tasks'" in capsys.readouterr().err


OFFERED = make()


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    entry = EntryPoint("words", f"{__name__}:OFFERED", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([entry]).select(group=group))
    return lambda: None


@pytest.mark.usefixtures("offered")
def test_an_object_behind_an_entry_point_is_a_task_of_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    assert make_task("words") is OFFERED
    small = [
        "--env-steps",
        "2",
        "--rollout.problems",
        "2",
        "--sampling.max-new-tokens",
        "4",
        "--evaluation.test-problems",
        "2",
    ]
    assert run(["train", "words", *small, "--quiet", "--out", out]) == 0
    assert run(["eval", out, "--problems", "1"]) == 0
    assert run(["play", "words", "--team", "best", "--problem", "r1"]) == 0
    assert run(["baseline", "words", "--problems", "1", "--sampling.max-new-tokens", "4"]) == 0
    assert run(["tasks"]) == 0
    assert "2 agents, 1 turns, from functions" in capsys.readouterr().out
    assert run(["play", "words", "--task.turns", "3"]) == 2
    assert "asked for with turns = 3 instead of 1" in capsys.readouterr().err


def test_the_example_of_the_readme_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 30 lines, and as many updates as its budget says."""
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in blocks("README.md") if "from_functions" in block)
    assert len(block.splitlines()) <= 30
    names: dict[str, Any] = {}
    exec(small(block), names)
    check_task(names["task"])
    assert names["summary"]["updates"] == 2
    assert (tmp_path / "runs" / "order" / "summary.json").is_file()
