"""From responses to a program, and what can be read off it without running it."""

from __future__ import annotations

import pytest

from collm.tasks.coding.assembly import Use, assemble, use_of_helper
from collm.tasks.coding.extraction import extract
from collm.tasks.coding.problems import Case, CodeProblem

HELPER = "def aux(x):\n    return x % 2 == 0"
MAIN = "def total(xs):\n    ys = [x for x in xs if aux(x)]\n    return sum(ys)"
PROBLEM = CodeProblem("p", "total", "def total(xs):\n    pass", (), (Case("total([2]) == 2", ([2],), 2),))


def use(body: str) -> Use:
    lines = "\n".join("    " + line for line in body.split("\n"))
    return use_of_helper(extract(f"def total(xs):\n{lines}").function("total"))


def test_the_partners_function_cannot_be_redefined() -> None:
    program = assemble(PROBLEM, [f"{HELPER}\n\ndef total(xs):\n    return 0", f"def aux(x):\n    return 1\n\n{MAIN}"])
    assert program.aux is not None
    assert program.main is not None
    assert program.aux.source == HELPER
    assert program.main.source == MAIN
    assert program.source.count("def ") == 2


@pytest.mark.parametrize("binding", ["aux = lambda x: 1", "import math as aux", "class aux:\n    pass", "aux: int = 3"])
def test_no_other_binding_takes_the_partners_name(binding: str) -> None:
    assert assemble(PROBLEM, [HELPER, f"{binding}\n\n{MAIN}"]).source.count("aux") == 2


def test_one_writer_gives_both_in_one_response() -> None:
    alone = assemble(PROBLEM, [f"```python\nimport math\n{HELPER}\n\n{MAIN}\n```"])
    together = assemble(PROBLEM, [f"import math\n{HELPER}", MAIN])
    assert alone.source == together.source
    assert alone.without_helper == together.without_helper
    assert alone.helper_alone == together.helper_alone


def test_halves_on_their_own() -> None:
    program = assemble(PROBLEM, [HELPER, MAIN])
    without: dict[str, object] = {}
    exec(program.without_helper, without)
    assert without["total"]([2, 4]) == 0  # type: ignore[operator]
    alone: dict[str, object] = {}
    exec(program.helper_alone, alone)
    assert alone["total"](4) is True  # type: ignore[operator]


def test_a_function_that_does_not_parse_is_left_out_and_named() -> None:
    program = assemble(PROBLEM, ["def aux(x)\n    return x", MAIN])
    assert list(program.errors) == ["aux"]
    assert program.source.strip() == MAIN
    assert program.aux is not None


def test_missing_functions() -> None:
    program = assemble(PROBLEM, ["I would loop.", ""])
    assert program.aux is None
    assert program.main is None
    assert program.errors == {}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("ys = aux(xs)\nreturn sum(ys)", Use(True)),
        ("return sum(aux(x) for x in xs)", Use(True, thin=True)),
        ("return aux(xs)", Use(True, thin=True)),
        ('"""Sum."""\nreturn aux(xs)', Use(True, thin=True)),
        ("v = aux(xs)\nreturn v", Use(True, thin=True)),
        ("v: int = aux(xs)\nreturn v", Use(True, thin=True)),
        ("v = aux(xs)\nreturn -v", Use(True)),
        ("v = w = aux(xs)\nreturn v", Use(True)),
        ("v = [aux(x) for x in xs]\nreturn v", Use(True)),
        ("v = aux(xs)\nv = v\nreturn v", Use(True)),
        ("return sum(xs)", Use()),
        ('"""aux(xs)"""\nys = xs\nreturn sum(ys)  # aux(xs)', Use()),
        ('"""Nothing."""', Use(thin=True)),
        ("aux(xs)\nreturn sum(xs)", Use(True, ignored=True)),
        ("def aux(x):\n    return x\nys = [aux(x) for x in xs]\nreturn ys", Use()),
        ("aux = len\nreturn aux(xs)", Use()),
        ("def inner(x):\n    return aux(x)\nreturn [inner(x) for x in xs]", Use(True)),
        ("return sorted(xs, key=aux)", Use(thin=True)),
    ],
)
def test_use_of_the_helper(body: str, expected: Use) -> None:
    assert use(body) == expected


def test_a_parameter_of_the_same_name_is_not_the_helper() -> None:
    assert (
        use_of_helper(extract("def total(xs, aux=len):\n    n = aux(xs)\n    return n + 1").function("total")) == Use()
    )
