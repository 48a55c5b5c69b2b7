"""Generated problems: distinct, disjoint by split, verified, and hard to pass by a common mistake or by half a team."""

from __future__ import annotations

import ast
import dataclasses

import pytest

from collm import make_task
from collm.errors import ConfigError, ProblemError
from collm.sandbox import Limits
from collm.tasks.coding import mini, programs
from collm.tasks.coding.judge import Judge
from collm.tasks.coding.shelf import verified
from collm.tasks.coding.values import same
from collm.tasks.protocol import SPLITS

IDS = list(mini.compositions())
SAMPLE = IDS[::7]
EQUIVALENT = 0.04
"""Share of common mistakes that no held-out test of their problem tells apart: most are equal to the answer there."""


def test_hundreds_of_problems_without_a_repetition() -> None:
    assert len(IDS) > 600
    prompts = [mini.posed(id, 1).prompt for id in SAMPLE]
    assert len(set(prompts)) == len(prompts)
    texts = {(one.step.phrase, one.finish.phrase) for one in mini.compositions().values()}
    assert len(texts) == len(IDS)


def test_splits_share_parts_and_no_composition() -> None:
    chosen = {split: set(mini.chosen(split, 10_000, 0)) for split in SPLITS}
    assert sum(map(len, chosen.values())) == len(IDS) == len(set().union(*chosen.values()))
    assert len(chosen["train"]) > 400
    assert min(len(chosen["validation"]), len(chosen["test"])) > 100
    known = [mini.compositions()[id] for id in chosen["train"]]
    for split in ("validation", "test"):
        for one in (mini.compositions()[id] for id in chosen[split]):  # type: ignore[index]
            assert one.step in [other.step for other in known]
            assert (one.step.verb, one.finish) in [(other.step.verb, other.finish) for other in known]


def test_the_seed_decides_which_problems_and_not_in_which_split() -> None:
    assert mini.chosen("train", 50, 0) != mini.chosen("train", 50, 1)
    assert mini.chosen("train", 50, 0) == mini.chosen("train", 300, 0)[:50]
    assert not set(mini.chosen("train", 500, 1)) & set(mini.chosen("test", 500, 2))


@pytest.mark.parametrize("id", IDS[::40])
def test_prompts_are_python_with_an_example_that_is_the_public_test(id: str) -> None:
    problem = mini.posed(id, 1)
    tree = ast.parse(problem.prompt)
    docstring = ast.get_docstring(tree.body[0])  # type: ignore[arg-type]
    assert docstring is not None
    call, _, value = problem.public[0].text.partition(" == ")
    assert docstring.split("\n")[2:] == [f">>> {call}", value]
    assert len(problem.held_out) == mini.TESTS - 1
    assert problem.parameters in ("xs", "xs, n")


def test_tests_tell_common_mistakes_from_the_answer() -> None:
    missed, all_of_them = [], 0
    for id in SAMPLE:
        one = mini.compositions()[id]
        pairs = [(near, one.finish.expression) for near in one.step.near]
        pairs += [(one.step.expression, near) for near in one.finish.near]
        for step, finish in pairs:
            all_of_them += 1
            answers = [
                (mini._answer(step, finish, one.step, case.arguments), case.expected)
                for case in mini.posed(id, 1).held_out
                if case.arguments is not None
            ]
            if all(same(found, expected) for found, expected in answers):
                missed.append((id, step, finish))
    assert len(missed) <= EQUIVALENT * all_of_them, missed


def test_no_constant_and_no_count_of_the_items_passes_twice() -> None:
    """All answers of a problem differ, so the public one is no held-out one, and `len(xs)` is no answer either."""
    for id in IDS:
        cases = mini.posed(id, 1).tests
        assert len(cases) == mini.TESTS, id
        assert len({repr(case.expected) for case in cases}) == mini.TESTS, id
        sizes = [len(case.arguments[0]) for case in cases if case.arguments is not None]
        for less in (0, 1):
            assert sum(same(size - less, case.expected) for size, case in zip(sizes, cases, strict=True)) <= 1, id


def test_every_convention_is_a_solution_in_both_profiles() -> None:
    """What the helper gets does not matter as long as both agree."""
    task = make_task("coop-he")
    trials, ways = [], []
    for id in IDS[::23]:
        one, problem = mini.compositions()[id], mini.posed(id, 1)
        for way in programs.CONVENTIONS:
            for swapped in (False, True):
                helper = programs.aux(one.step, way, swapped)
                main = programs.body(one.step, one.finish.name, way, one.finish.expression, swapped)
                trials.append((problem, (helper, main)))
                ways.append((id, way, swapped))
    for outcome, way in zip(task._judge.outcomes(trials), ways, strict=True):  # type: ignore[attr-defined]
        assert (outcome.paper, outcome.hardened) == (4.0, 4.0), way


def test_other_conventions_of_the_partner_fail() -> None:
    task = make_task("coop-he")
    mixed = []
    for id in [id for id in IDS if mini.compositions()[id].step.verb != "fold"][::5]:
        one, problem = mini.compositions()[id], mini.posed(id, 1)
        main = programs.body(one.step, one.finish.name, "list", one.finish.expression)
        mixed.append((problem, (programs.aux(one.step, "item"), main)))
    rates = [outcome.pass_rate for outcome in task._judge.outcomes(mixed)]  # type: ignore[attr-defined]
    assert sum(rate == 0 for rate in rates) >= 0.95 * len(rates)


def test_a_wrong_canonical_solution_would_not_be_posed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = mini.posed

    def wrong(id: str, public: int) -> mini.CodeProblem:
        return dataclasses.replace(right(id, public), aux="def aux(x):\n    return 1")

    monkeypatch.setattr(mini, "posed", wrong)
    with pytest.raises(ConfigError, match="fails its own test"):
        verified(Judge(Limits()), ("keep-even-total",), 1)


def test_problems_are_verified_under_limits_of_their_own() -> None:
    task = make_task("coop-he", seconds=1e-9, cpu_seconds=1, memory_mib=64)
    assert task.problem("keep-even-total").id == "keep-even-total"


def test_too_little_time_to_verify_is_named() -> None:
    with pytest.raises(ConfigError, match="no time to verify the generated problems"):
        verified(Judge(Limits(seconds=1e-9)), ("keep-even-total",), 1)


def test_an_unknown_problem_names_the_nearest_and_the_form() -> None:
    with pytest.raises(ProblemError) as error:
        make_task("coop-he").problem("nonsense")
    text = str(error.value)
    assert "Did you mean '" in text
    assert "VERB-STEP-FINISH" in text
    assert "keep, map, sort, fold" in text
    assert len(text) < 300


@pytest.mark.parametrize("option", [{"data": "folder"}, {"bad_rows": "drop"}])
def test_options_of_data_sets_are_refused_for_generated_problems(option: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"task.{next(iter(option))} .* it needs task.source = CoopHumanEval"):
        make_task("coop-he", **option)


def test_any_size_up_to_what_exists_and_names() -> None:
    task = make_task("coop-he", train_size=7, validation_size=3, test_size=100_000)
    assert [len(task.problems(split)) for split in SPLITS] == [7, 3, len(mini.chosen("test", 10_000, 0))]
    assert task.problem("keep-even-total").id == "keep-even-total"
    with pytest.raises(ProblemError, match="Did you mean 'keep-even-total'"):
        task.problem("keep-even-totl")
