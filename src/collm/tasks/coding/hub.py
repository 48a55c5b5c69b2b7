"""CoopHumanEval, HumanEval and MBPP as problems: signatures, helpers and asserts are found by syntax, not by text."""

from __future__ import annotations

import ast
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from collm.errors import ConfigError, ProblemError
from collm.sandbox.asserts import plan
from collm.tasks.coding.extraction import extract, parse
from collm.tasks.coding.judge import Judge, job, results
from collm.tasks.coding.outcome import MAXIMUM
from collm.tasks.coding.problems import AUX, Case, CodeProblem, signature
from collm.tasks.protocol import SPLITS, Split
from collm.tasks.sources import BadRows, DataSet, Row, dropped_note, load

DATA_SETS: Mapping[str, DataSet] = {
    "CoopHumanEval": DataSet(
        "OpenMLRL/CoopHumanEval",
        {"train": "train[16:]", "validation": "train[:16]", "test": "train[:16]"},
        text="prompt",
        fields=("test", "entry_point"),
        id="task_id",
    ),
    "HumanEval": DataSet(
        "openai/openai_humaneval",
        {"train": "test[33:163]", "validation": "test[:32]", "test": "test[:32]"},
        text="prompt",
        fields=("test", "entry_point"),
        id="task_id",
    ),
    "MBPP": DataSet(
        "OpenMLRL/MBPP",
        {"train": "test[15:65]", "validation": "test[:15]", "test": "test[:15]"},
        text="prompt",
        id="task_id",
    ),
}
"""The released rows: training comes behind the rows that are evaluated on."""

_ALWAYS = "import math"
"""What the released programs find in their globals."""
_SOLUTION = "solution"


class _UnusableRow(Exception):
    """Why a row is no problem."""


def read(
    source: str, judge: Judge, public: int, location: str = "", bad_rows: BadRows = "refuse"
) -> tuple[dict[Split, tuple[CodeProblem, ...]], tuple[str, ...]]:
    """The problems of a data set by split, and notes on what was dropped.

    Every problem with a canonical solution is run: one whose solution fails its own tests is dropped and noted. Raises
    ConfigError for a data set that cannot be used, for rows that cannot be read unless ``bad_rows`` is ``drop``,
    and for a split of which nothing is left.
    """
    loaded = load(DATA_SETS[source], location, bad_rows)
    unread: list[str] = []
    posed: dict[str, CodeProblem] = {}
    for row in {row.id: row for split in SPLITS for row in loaded.rows[split]}.values():
        try:
            posed[row.id] = pose(row, public)
        except _UnusableRow as error:
            if bad_rows == "refuse":
                raise ConfigError(
                    f"data set '{location or DATA_SETS[source].name}': {row.place} ({row.id}) {error}. Mend it, or leave "
                    "such rows out with task.bad_rows = drop."
                ) from None
            unread.append(f"{row.place} ({row.id}) {error}")
    failing = _failing(judge, list(posed.values()))
    problems = {
        split: tuple(posed[row.id] for row in loaded.rows[split] if row.id in posed and row.id not in failing)
        for split in SPLITS
    }
    for split in SPLITS:
        if not problems[split]:
            raise ConfigError(f"the data set '{location or DATA_SETS[source].name}' has no usable {split} problems.")
    notes = (
        *loaded.notes(),
        *dropped_note("rows that are no coding problem", tuple(unread)),
        *dropped_note("problems that their own solution does not solve", tuple(failing.values())),
    )
    return problems, notes


def pose(row: Row, public: int) -> CodeProblem:
    """The problem of a row, in the schema of HumanEval or of MBPP. Raises _UnusableRow if there is none in it."""
    fields = row.fields
    problem = _from_list(row) if fields.get("test_list") else _from_check(row)
    asserts = _asserts(problem)
    cases = tuple(
        Case(_shown(node, problem.entry_point), index=index)
        for index, node in enumerate(asserts)
        if not isinstance(node.test, ast.Constant)
    )
    if not cases:
        raise _UnusableRow("has no assert in its tests")
    if problem.entry_point == AUX:
        raise _UnusableRow(f"asks for a function that is called {AUX}")
    shown = min(public, len(cases) - 1)
    return dataclasses.replace(problem, public=cases[:shown], held_out=cases[shown:])


def _asserts(problem: CodeProblem) -> list[ast.Assert]:
    """The asserts of the check, in the order of their verdicts."""
    try:
        statements = [ast.parse(each.text).body[0] for each in plan(problem.check).assertions]
    except ProblemError as error:
        raise _UnusableRow(f"has tests that are no Python: {error}") from None
    return [statement for statement in statements if isinstance(statement, ast.Assert)]


def _shown(node: ast.Assert, entry_point: str) -> str:
    """What an assert says, about the function by its own name."""
    named = _Renamed({"candidate": entry_point}).visit(ast.parse(ast.unparse(node.test), mode="eval"))
    return ast.unparse(named)


def _from_check(row: Row) -> CodeProblem:
    """HumanEval's schema: a prompt that ends in a docstring, ``check(candidate)``, and perhaps the rest of the function."""
    fields = {name: _text(row, name) for name in ("prompt", "test", "entry_point")}
    prompt, test, name = fields["prompt"], fields["test"], fields["entry_point"].strip()
    if not name.isidentifier():
        raise _UnusableRow(f"has an entry point that is no name: {name!r:.60}")
    rest = row.fields.get("canonical_solution") or row.fields.get("code") or ""
    solution = next((text for text in (rest, f"{prompt}{rest}", f"{prompt}\n{rest}") if _defines(text, name)), "")
    if not rest:
        solution = ""
    if signature(prompt, name) == "":
        found = signature(solution, name) if solution else _called_with(test)
        prompt = prompt.replace(f"def {name}()", f"def {name}({found})", 1)
    preamble = _joined(_ALWAYS, extract(prompt).without({name}).source)
    return _with_solution(CodeProblem(row.id, name, prompt, (), (), preamble, check=_joined(preamble, test)), solution)


def _from_list(row: Row) -> CodeProblem:
    """MBPP's own schema: a sentence, reference code, and a list of asserts that call it by name."""
    sentence, code = _text(row, "prompt"), _text(row, "code")
    tests = "\n".join(str(test) for test in row.fields["test_list"])
    imports = "\n".join(str(line) for line in row.fields.get("test_imports") or ())
    tree, asked = parse(code), parse(tests)
    if tree is None or asked is None:
        raise _UnusableRow("has reference code or tests that are no Python")
    called = Counter(
        node.func.id for node in ast.walk(asked) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )
    defined = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    name = max((name for name in defined if name in called), key=called.__getitem__, default=None)
    if name is None:
        raise _UnusableRow("has tests that call no function of its reference code")
    quoted = sentence.strip().replace("\\", "\\\\").replace('"""', "'''")
    prompt = f'def {name}({signature(code, name)}):\n    """{quoted}\n    """\n'
    check = _joined(_ALWAYS, imports, str(row.fields.get("test_setup_code") or ""), tests)
    return _with_solution(CodeProblem(row.id, name, prompt, (), (), _ALWAYS, check=check), code)


def _text(row: Row, name: str) -> str:
    value = row.fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _UnusableRow(f"has no text in the field '{name}'")
    return value


def _joined(*sources: str) -> str:
    return "\n\n".join(source for source in sources if source.strip()) + "\n"


def _defines(source: str, name: str) -> bool:
    tree = parse(source)
    return tree is not None and any(
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name for node in tree.body
    )


def _called_with(test: str) -> str:
    """Parameters for a function whose prompt has none: as many as the tests give it."""
    tree = parse(test)
    calls = [
        len(node.args)
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "candidate"
    ]
    return ", ".join(f"value{index + 1}" for index in range(max(calls, default=0)))


def _with_solution(problem: CodeProblem, solution: str) -> CodeProblem:
    """With the canonical solution split in two: the helper solves and returns a way to get the result, main takes it.

    It shows that the maximum can be attained: neither half passes a test without the other.
    """
    tree = parse(solution) if solution else None
    if tree is None:
        return problem
    renamed = ast.unparse(_Renamed({problem.entry_point: _SOLUTION}).visit(ast.parse(solution)))
    helper = f"def {AUX}(*args, **kwargs):\n    result = {_SOLUTION}(*args, **kwargs)\n    return lambda: result"
    main = f"def {problem.entry_point}(*args, **kwargs):\n    take = {AUX}(*args, **kwargs)\n    return take()"
    return dataclasses.replace(problem, aux=f"{renamed}\n\n{helper}", main=main)


class _Renamed(ast.NodeTransformer):
    """Other names for functions and what refers to them."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.name = self._names.get(node.name, node.name)
        return node


def _failing(judge: Judge, problems: Sequence[CodeProblem]) -> dict[str, str]:
    """Id → what is wrong, of the problems whose canonical solution fails, alone or as a helper with its main function."""
    solved = [problem for problem in problems if problem.main]
    alone = [f"{problem.preamble}\n{problem.aux}\n{problem.entry_point} = {_SOLUTION}\n" for problem in solved]
    reports = judge.sandbox.run([job(problem, source) for problem, source in zip(solved, alone, strict=True)])
    outcomes = judge.outcomes([(problem, (problem.aux, problem.main)) for problem in solved])
    wrong: dict[str, str] = {}
    for problem, report, outcome in zip(solved, reports, outcomes, strict=True):
        tests: list[Any] = results(problem, report)
        failed = [(case, test) for case, test in zip(problem.tests, tests, strict=True) if not test.passed]
        if failed:
            case, test = failed[0]
            wrong[problem.id] = (
                f"{problem.id} fails {len(failed)} of {len(tests)} tests, first {case.text:.80} ({test.reason:.80})"
            )
        elif min(outcome.paper, outcome.hardened) < MAXIMUM:
            wrong[problem.id] = f"{problem.id} has tests that pass without the function"
    return wrong
