"""Data sets in the released schemas, quirks included, read offline; every canonical solution has to pass its tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from collm import make_task
from collm.errors import ConfigError, ProblemError
from collm.tasks.coding.hub import DATA_SETS
from collm.tasks.coding.problems import CodeProblem
from collm.tasks.protocol import SPLITS, Task
from collm.testing import check_task

Fields = dict[str, Any]


def folder(path: Path, split: str, rows: Sequence[Mapping[str, Any]]) -> str:
    (path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def plain(number: int, **changes: Any) -> Fields:
    """A row in HumanEval's schema."""
    return {
        "task_id": f"Plain/{number}",
        "prompt": f'def add{number}(a, b):\n    """Add {number} and both.\n'
        f'    >>> add{number}(1, 2)\n    {3 + number}\n    """\n',
        "entry_point": f"add{number}",
        "canonical_solution": f"    return a + b + {number}\n",
        "test": f"\n\nMETADATA = {{}}\n\n\ndef check(candidate):\n    assert candidate(1, 2) == {3 + number}\n"
        f"    assert candidate(0, 0) == {number}\n    assert True, 'fine'\n",
        **changes,
    }


QUIRKS = {
    "asserts over several lines": plain(
        900,
        test="def check(candidate):\n    assert candidate(\n        1,\n        2,\n    ) == (\n"
        "        903\n    ), 'message'\n"
        "    assert candidate(0,\n        1) == 901\n",
    ),
    "asserts in a loop": plain(
        901,
        test="def check(candidate):\n    assert candidate(1, 1) == 903\n    for a in range(5):\n"
        "        for b in range(3):\n"
        "            assert candidate(a, b) == a + b + 901\n",
    ),
    "a helper in the prompt that the check uses too": {
        "task_id": "Quirk/902",
        "prompt": "import math\nfrom typing import List\n\n\ndef poly(xs: List[float], x: float) -> float:\n"
        '    """Value of a polynomial."""\n    return sum([c * math.pow(x, i) for i, c in enumerate(xs)])\n\n\n'
        'def find_zero(xs: List[float]) -> float:\n    """A zero of xs.\n'
        '    >>> round(find_zero([1, 2]), 2)\n    -0.5\n    """\n',
        "entry_point": "find_zero",
        "canonical_solution": "    return -xs[0] / xs[1] if poly(xs, 0) else 0.0\n",
        "test": "def check(candidate):\n    for a in range(1, 4):\n        zero = candidate([a, 2.0])\n"
        "        assert math.fabs(poly([a, 2.0], zero)) < 1e-4\n    assert abs(candidate([1, 2]) + 0.5) < 1e-6\n",
    },
    "a helper in check": plain(
        903,
        test="def close(a, b):\n    return abs(a - b) < 1e-6\n\n\ndef check(candidate):\n    def both(a):\n"
        "        return candidate(a, a)\n    assert close(candidate(1, 2), 906)\n    assert both(1) == 905\n",
    ),
    "a default with brackets": {
        "task_id": "Quirk/904",
        "prompt": 'def pick(xs, at=(0, 1), key=len):\n    """Items of xs at both places."""\n',
        "entry_point": "pick",
        "canonical_solution": "    return [xs[i] for i in at]\n",
        "test": "def check(candidate):\n    assert candidate([5, 6, 7]) == [5, 6]\n"
        "    assert candidate([5, 6, 7], at=(1, 2)) == [6, 7]\n",
    },
    "a truth value": plain(
        905,
        canonical_solution="    return a < b\n",
        test="def check(candidate):\n    assert candidate(1, 2)\n    assert not candidate(2, 1)\n"
        "    assert candidate(2, 3) is True\n",
    ),
    "an exception is the answer": plain(
        906,
        canonical_solution="    if a < 0:\n        raise ValueError('a')\n    return a + b + 906\n",
        test="def check(candidate):\n    assert candidate(1, 2) == 909\n    try:\n"
        "        candidate(-1, 0)\n        assert False\n"
        "    except ValueError:\n        pass\n    assert candidate(0, 0) == 906\n",
    ),
}


def human_eval(tmp_path: Path, extra: Sequence[Fields] = (), **options: Any) -> Task:
    """A task over 34 plain rows and these; the released slices keep rows 0–31 for testing and train from row 33 on."""
    rows = [*(plain(number) for number in range(34)), *extra]
    options = {
        "source": "HumanEval",
        "data": folder(tmp_path, "test", rows),
        "train_size": 40,
        "test_size": 3,
        "validation_size": 3,
        **options,
    }
    return make_task("coop-he", **options)


@pytest.mark.slow
def test_quirks_are_solved_by_their_canonical_solutions(tmp_path: Path) -> None:
    task = human_eval(tmp_path, list(QUIRKS.values()))
    assert len(task.notes()) == 1  # the sandbox
    ids = {problem.id for problem in task.problems("train")}
    assert {row["task_id"] for row in QUIRKS.values()} <= ids
    for profile in ("paper", "hardened"):
        small = {"profile": profile, "validation_size": 1, "test_size": 1}
        check_task(human_eval(tmp_path, list(QUIRKS.values()), **small), problems_per_split=8)


@pytest.mark.parametrize("name", QUIRKS)
def test_tests_are_split_into_public_and_held_out(tmp_path: Path, name: str) -> None:
    task = human_eval(tmp_path, [QUIRKS[name]])
    problem = task.problem(QUIRKS[name]["task_id"])
    assert isinstance(problem, CodeProblem)
    assert len(problem.public) == 1
    assert len(problem.held_out) >= 1
    assert "candidate" not in "".join(case.text for case in problem.tests)


def test_wrong_programs_fail_and_feedback_shows_the_public_assert(tmp_path: Path) -> None:
    task = human_eval(tmp_path, [QUIRKS["asserts in a loop"]])
    problem = task.problem("Plain/901")
    main = "def add901(a, b):\n    c = aux(a)\n    return c + 901 if b == 0 else 0"
    step = task.step(problem, task.reset(problem).state, ["def aux(a):\n    return a", main])
    assert step.components["test_pass_rate"] == 0.0
    assert step.observations is not None
    assert "Failed: add901(1, 1) == 903" in step.observations[0][0].content


def test_signatures_come_from_the_syntax(tmp_path: Path) -> None:
    problem = human_eval(tmp_path, [QUIRKS["a default with brackets"]]).problem("Quirk/904")
    assert isinstance(problem, CodeProblem)
    assert problem.parameters == "xs, at=(0, 1), key=len"


def test_a_solution_that_fails_its_own_tests_is_dropped_and_noted(tmp_path: Path) -> None:
    wrong = plain(77, canonical_solution="    return a\n")
    never = plain(78, test="def check(candidate):\n    assert candidate(1, 2) == 81\n    assert str(1) == '1'\n")
    task = human_eval(tmp_path, [wrong, never, plain(79)])
    assert [problem.id for problem in task.problems("train")] == ["Plain/33", "Plain/79"]
    note, _ = task.notes()
    assert note.startswith("dropped 2 problems that their own solution does not solve: Plain/77 fails 2 of 2 tests")
    assert "Plain/78 has tests that pass without the function" in note


def test_an_item_without_a_canonical_solution_is_played_without_a_best_plan(tmp_path: Path) -> None:
    rows = [{key: value for key, value in plain(n).items() if key != "canonical_solution"} for n in range(20)]
    task = make_task("coop-he", source="CoopHumanEval", data=folder(tmp_path, "train", rows), train_size=3)
    assert [len(task.problems(split)) for split in SPLITS] == [3, 16, 16]
    assert task.best_plan(task.problems("train")[0]) is None
    check_task(task, problems_per_split=1)


BROKEN = {
    "no assert": (plain(80, test="def check(candidate):\n    pass\n"), "has no assert in its tests"),
    "no Python": (plain(80, test="def check(candidate)\n    assert candidate(1)"), "has tests that are no Python"),
    "no name": (plain(80, entry_point="a b"), "has an entry point that is no name: 'a b'"),
    "aux": (plain(80, entry_point="aux"), "asks for a function that is called aux"),
    "empty tests": (plain(80, test=" "), "has no text in the field 'test'"),
    "no prompt": (plain(80, prompt="\n"), "has an empty field 'prompt'"),
    "overlap": (plain(80, prompt=plain(3)["prompt"]), "repeats test[:32] row 3"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_row_that_is_no_problem_is_named_or_dropped(tmp_path: Path, name: str) -> None:
    row, message = BROKEN[name]
    rows = [plain(81), row]
    with pytest.raises(ConfigError) as error:
        human_eval(tmp_path, rows).problems("train")
    if name != "overlap":
        assert "test[33:163] row 35" in str(error.value)
        assert message in str(error.value)
    task = human_eval(tmp_path, rows, bad_rows="drop")
    assert "Plain/81" in {problem.id for problem in task.problems("train")}
    note, _ = task.notes()
    assert note.startswith("dropped 1 rows")


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    rows = [{key: value for key, value in plain(n).items() if key != "test"} for n in range(40)]
    with pytest.raises(ConfigError, match=r"row 33 has no field 'test'"):
        make_task("coop-he", source="HumanEval", data=folder(tmp_path, "test", rows)).problems("train")


def listed(number: int, **changes: Any) -> Fields:
    """A row in MBPP's own schema."""
    return {
        "task_id": number,
        "prompt": f"Write a function to add {number}.",
        "code": f"import math\ndef helper(x):\n  return x + {number}\ndef plus(x, by = (1)):\n  return helper(x) * by",
        "test_imports": [],
        "test_list": [f"assert plus(1) == {1 + number}", f"assert plus(2, 2) == {2 * (2 + number)}"],
        **changes,
    }


MBPP = [
    *(listed(number) for number in range(15)),
    listed(
        15,
        test_list=["assert math.isclose(plus(1), 16.0, rel_tol=0.001)", "assert plus(2) == 17"],
        test_imports=["import math"],
    ),
    listed(16, test_list=["assert plus(helper(1)) == 33", "assert plus(2) == 18"]),
    {
        "task_id": 17,
        "prompt": 'def built():\n    """Add two numbers."""\n',
        "entry_point": "built",
        "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(2, 2) == 4\n",
        "code": "",
    },
]


def test_mbpp_in_both_schemas(tmp_path: Path) -> None:
    full = {"code": "", "test_list": [], "test_imports": [], "test": "", "entry_point": ""}
    rows = [{**full, **row} for row in MBPP]
    task = make_task("coop-he", source="MBPP", data=folder(tmp_path, "test", rows))
    train = {problem.id: problem for problem in task.problems("train")}
    assert [problem.parameters for problem in train.values()] == ["x, by=1", "value1, value2"]  # type: ignore[attr-defined]
    assert train["15"].prompt == 'def plus(x, by=1):\n    """Write a function to add 15.\n    """\n'
    ""  # type: ignore[attr-defined]
    note, _ = task.notes()
    assert "dropped 1 problems that their own solution does not solve: 16 fails 1 of 2 tests" in note
    check_task(task, problems_per_split=2)


def test_names_and_rows_of_the_released_data() -> None:
    assert {name: each.name for name, each in DATA_SETS.items()} == {
        "CoopHumanEval": "OpenMLRL/CoopHumanEval",
        "HumanEval": "openai/openai_humaneval",
        "MBPP": "OpenMLRL/MBPP",
    }
    assert DATA_SETS["HumanEval"].splits["train"] == "test[33:163]"


def test_an_unknown_problem_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="Did you mean 'Plain/33'"):
        human_eval(tmp_path).problem("Plain/333")
