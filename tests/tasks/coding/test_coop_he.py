"""The task: contract, turns, feedback, scores."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from collm import make_task
from collm.sandbox import Job, Report, Sandbox
from collm.tasks.coding import judge, mini
from collm.tasks.coding.coop_he import CoopHe
from collm.tasks.coding.problems import CodeProblem
from collm.tasks.protocol import SPLITS, Move, Task
from collm.testing import check_task

SMALL = {"train_size": 3, "validation_size": 2, "test_size": 3}
ID = "keep-even-total"
WRAPPER = "def total(xs):\n    return aux(xs)"
ALONE = "def total(xs):\n    return sum(x for x in xs if x % 2 == 0)"
SOLVES = "def aux(xs):\n    return sum(x for x in xs if x % 2 == 0)"


@pytest.fixture(scope="module")
def problem() -> CodeProblem:
    return mini.posed(ID, 1)


def said(task: Task, problem: CodeProblem, actions: list[str]) -> list[str]:
    """The observations after one turn."""
    step = task.step(problem, task.reset(problem).state, actions)
    assert step.observations is not None
    return [observation[0].content for observation in step.observations]


@pytest.mark.parametrize("profile", ["paper", "hardened"])
def test_contract(profile: str) -> None:
    check_task(make_task("coop-he", profile=profile, **SMALL), problems_per_split=2)


@pytest.mark.parametrize("feedback", ["plain", "passed", "level-passed"])
def test_contract_of_other_feedback(feedback: str) -> None:
    check_task(make_task("coop-he", feedback=feedback, turns=3, **SMALL), problems_per_split=1)


def both_rewards(task: Task, problems: list[CodeProblem], empty: bool = False) -> set[tuple[float, float]]:
    """Every pair of paper and hardened reward that canonical, or empty, joint actions earn."""
    actions = [("", "") if empty else (problem.aux, problem.main) for problem in problems]
    found = task._judge.outcomes(list(zip(problems, actions, strict=True)))  # type: ignore[attr-defined]
    return {(outcome.paper, outcome.hardened) for outcome in found}


@pytest.mark.parametrize("every", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_canonical_and_empty_joint_actions_of_all_problems(every: int) -> None:
    """4.0 and 0 under both profiles, for the generated problems of every split."""
    task = make_task("coop-he", train_size=10_000, validation_size=10_000, test_size=10_000)
    problems = [problem for split in SPLITS for problem in list(task.problems(split))[::every]]
    assert all(isinstance(problem, CodeProblem) for problem in problems)
    assert both_rewards(task, problems) == {(4.0, 4.0)}  # type: ignore[arg-type]
    assert both_rewards(task, problems, empty=True) == {(0.0, 0.0)}  # type: ignore[arg-type]


def test_the_reward_is_regret_and_a_solved_problem_ends_the_episode(problem: CodeProblem) -> None:
    task = make_task("coop-he")
    start = task.reset(problem)
    solved = task.step(problem, start.state, [problem.aux, problem.main])
    assert (solved.reward, solved.terminated, solved.observations) == (0.0, True, None)
    thin = task.step(problem, start.state, [SOLVES, WRAPPER])
    assert (thin.reward, thin.terminated) == (-1.0, False)
    again = task.step(problem, thin.state, [SOLVES, WRAPPER])
    assert (again.reward, again.terminated) == (-1.0, True)
    lenient = make_task("coop-he", solved_at=2.9).step(problem, start.state, [SOLVES, WRAPPER])
    assert lenient.terminated


def test_a_terminal_reward_is_paid_once_and_solves_nothing_early(problem: CodeProblem) -> None:
    task = make_task("coop-he", reward="terminal", turns=2)
    solved = task.step(problem, task.reset(problem).state, [problem.aux, problem.main])
    assert (solved.reward, solved.terminated) == (0.0, False)
    assert solved.observations is not None
    thin = task.step(problem, solved.state, [SOLVES, WRAPPER])
    assert (thin.reward, thin.terminated) == (3.0, True)
    assert task.final(problem, thin.state) == 3.0
    assert task.gamma == 1.0


def test_scores(problem: CodeProblem) -> None:
    """The final is the last turn's; the paper's figure is the mean of the turns that were played."""
    task = make_task("coop-he")
    first = task.step(problem, task.reset(problem).state, ["", ""])
    last = task.step(problem, first.state, [problem.aux, problem.main])
    assert task.final(problem, last.state) == 4.0
    assert task.score(problem, last.state) == 100.0
    assert task.paper_score(problem, last.state) == 50.0
    assert task.gamma == 0.9


def test_profiles_differ_where_cooperation_is_only_form(problem: CodeProblem) -> None:
    for profile, value in (("paper", 4.0), ("hardened", 2.5)):
        task = make_task("coop-he", profile=profile)
        dead = ALONE.replace("    return", "    y = aux(1)\n    return")
        step = task.step(problem, task.reset(problem).state, [problem.aux, dead])
        assert task.final(problem, step.state) == pytest.approx(value)
        assert (step.components["paper"], step.components["hardened"]) == (4.0, 2.5)


def test_level_feedback(problem: CodeProblem) -> None:
    task = make_task("coop-he")
    helper, main = said(task, problem, ["def aux(x)\n    return x", "def total(xs):\n    print(xs)"])
    assert helper.split("\n") == [
        "Turn 2 of 2.",
        "aux: found",
        "total: found, without return",
        "Syntax error in aux, line 1, column 11: expected ':'",
        "Public tests: 0 of 1 passed.",
        f"Failed: {problem.public[0].text}",
        "because the program does not run",
        "Revise your function. Output only its code.",
    ]
    assert main.split("\n")[-2:] == ["You do not call aux.", "Revise your function. Output only its code."]


@pytest.mark.parametrize(
    ("helper", "main", "line"),
    [
        (SOLVES, WRAPPER, "You only pass on what aux returns: do more than that."),
        (SOLVES, "def total(xs):\n    aux(xs)\n    return 0", "You ignore what aux returns."),
        (SOLVES, "def total(xs):\n    y = aux(xs)\n    return y - 1", "You use aux."),
        (SOLVES, "def total(xs):\n    return 0", "because it gave 0"),
        ("", "def total(xs):\n    y = aux(xs)\n    return y + 1", "because NameError: name 'aux' is not defined"),
        ("", "", "total: missing"),
    ],
)
def test_level_feedback_names_what_is_wrong(problem: CodeProblem, helper: str, main: str, line: str) -> None:
    assert line in said(make_task("coop-he"), problem, [helper, main])[1].split("\n")


def test_feedback_never_shows_a_held_out_test_or_the_partners_code(problem: CodeProblem) -> None:
    for feedback in ("level", "plain", "passed", "level-passed"):
        for text in said(make_task("coop-he", feedback=feedback), problem, [SOLVES, WRAPPER]):
            assert not any(case.text.partition(" == ")[0] in text for case in problem.held_out)
            assert "def " not in text


def test_other_feedback(problem: CodeProblem) -> None:
    def texts(feedback: str, main: str) -> str:
        return "\n".join(said(make_task("coop-he", feedback=feedback), problem, [SOLVES, main])[1].split("\n")[1:-1])

    assert texts("plain", WRAPPER) == ""
    assert texts("passed", WRAPPER) == "Not all levels passed."
    assert texts("level-passed", WRAPPER) == "Definitions: ok\nSyntax: ok\nPublic tests: all passed\nUse of aux: not ok"
    broken = texts("level-passed", "def total(xs)\n    return 1")
    assert broken == "Definitions: ok\nSyntax: not ok\nPublic tests: none passed\nUse of aux: not ok"


def test_without_public_tests_feedback_says_nothing_about_tests() -> None:
    task = make_task("coop-he", public_tests=0)
    problem = task.problem(ID)
    assert isinstance(problem, CodeProblem)
    assert len(problem.held_out) == mini.TESTS
    assert "ests" not in said(task, problem, ["", ""])[1]


def test_preparing_a_batch_changes_no_step(problem: CodeProblem) -> None:
    batches = [[problem.aux, problem.main], [SOLVES, WRAPPER], ["", ""], [SOLVES, ALONE]]
    prepared, plain = CoopHe(), CoopHe()
    start = prepared.reset(problem)
    prepared.prepare([Move(problem, start.state, actions) for actions in batches])
    for actions in batches:
        assert prepared.step(problem, start.state, actions) == plain.step(problem, start.state, actions)


@pytest.mark.parametrize(
    ("feedback", "helper", "main"),
    [
        ("level", {"aux_returns": 1, "main_returns": 1, "syntax": 1, "public_pass_rate": 1}, {"use": 0}),
        ("level-passed", {"definitions": 1, "syntax": 1, "use": 0, "public_pass_rate": 1}, {}),
        ("passed", {"all_levels": 0}, {}),
        ("plain", {}, {}),
    ],
)
def test_what_observations_tell_in_numbers(
    problem: CodeProblem, feedback: str, helper: dict[str, float], main: dict[str, float]
) -> None:
    """A thin wrapper that solves the problem: its author hears of the use of the helper, whose author does not."""
    task = make_task("coop-he", feedback=feedback)
    start = task.reset(problem).state
    assert task.observed_standing(problem, start, 1) == {}
    state = task.step(problem, start, [SOLVES, WRAPPER]).state
    assert task.observed_standing(problem, state, 0) == helper
    assert task.observed_standing(problem, state, 1) == {**helper, **main}
    fine = task.step(problem, start, [problem.aux, problem.main]).state
    assert all(task.observed_standing(problem, fine, 1).values())


def test_what_was_judged_is_not_run_again_elsewhere(problem: CodeProblem, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdicts of one process hold in another, whatever a program near its time limit would do there."""
    here, there = CoopHe(), CoopHe()
    batches = [[problem.aux, problem.main], [SOLVES, ALONE], ["def aux(xs:", problem.main], ["", ""]]
    start = here.reset(problem).state
    steps = [here.step(problem, start, actions) for actions in batches]
    there.remember(json.loads(json.dumps(here.memory())))
    monkeypatch.setattr(judge, "shared_sandbox", lambda limits: NothingRuns())
    assert [there.step(problem, start, actions) for actions in batches] == steps
    with pytest.raises(AssertionError, match="was asked to run"):
        there.step(problem, start, [problem.aux, ALONE])


class NothingRuns:
    def run(self, jobs: Sequence[Job]) -> list[Report]:
        assert not jobs, "was asked to run"
        return []


def test_verdicts_of_another_version_are_refused() -> None:
    memory = CoopHe().memory()
    with pytest.raises(ValueError, match="another version"):
        CoopHe().remember({**memory, "outcome": memory["outcome"][1:]})


def test_one_agent_writes_both(problem: CodeProblem) -> None:
    single = make_task("coop-he").single_agent()
    start = single.reset(problem)
    assert len(start.observations) == 1
    assert "def aux(...):\ndef total(xs):" in start.observations[0][1].content
    step = single.step(problem, start.state, [f"```\n{problem.aux}\n\n{problem.main}\n```"])
    assert single.final(problem, step.state) == 4.0
    (text,) = said(single, problem, [ALONE])
    assert text.endswith("You do not call aux.\nRevise your functions. Output only their code.")


def test_opening_observations(problem: CodeProblem) -> None:
    start = make_task("coop-he").reset(problem)
    helper, main = (observation[1].content for observation in start.observations)
    assert all(problem.prompt in text for text in (helper, main))
    assert helper.endswith("def aux(...):")
    assert main.endswith("def total(xs):")


def test_a_weak_sandbox_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(1, without=("seccomp",)) as weak:
        monkeypatch.setattr(judge, "shared_sandbox", lambda limits: weak)
        (note,) = CoopHe().notes()
        assert note.startswith("model-written code runs in a weak sandbox: ")
        assert "seccomp" in note


def test_the_program_as_text(problem: CodeProblem) -> None:
    task = make_task("coop-he")
    start = task.reset(problem)
    assert task.as_text(problem, start.state) == problem.prompt
    step = task.step(problem, start.state, [problem.aux, problem.main])
    assert problem.main in task.as_text(problem, step.state)
    assert "held-out tests: 4 of 4 passed" in task.as_text(problem, step.state)
