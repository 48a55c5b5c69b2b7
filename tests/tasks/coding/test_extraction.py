"""Functions are taken out of anything a model may write: what parses is kept, and no text raises or takes long."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collm.tasks.coding.extraction import Pieces, extract
from collm.testing import malformed_actions

HELPER = "def aux(x, n):\n    return x % n"
MAIN = "def total(xs):\n    ys = [x for x in xs if aux(x, 2)]\n    return sum(ys)"


def names(text: str) -> list[str]:
    return [name for piece in extract(text).pieces for name in piece.names]


def helper(text: str) -> str:
    found = extract(text).function("aux")
    assert found is not None
    return found.source


@pytest.mark.parametrize(
    "text",
    [
        HELPER,
        f"```python\n{HELPER}\n```",
        f"Sure! Here it is:\n\n```py\n{HELPER}\n```\nIt returns the remainder.",
        f"~~~\n{HELPER}\n~~~",
        f"Here is the code: ```python\n{HELPER}```",
        f"It's a helper.\n{HELPER}\nThis isn't tested (yet",
        "\n".join("    " + line for line in HELPER.split("\n")),
        HELPER.replace("\n", "\r\n"),
        f"{HELPER}\n\ndef total(xs:\n    return 1",
        f"def total(xs)\n    return 1\n\n{HELPER}",
        f"{HELPER}\n\ndef total(xs):\n    return sum([x for x in",
        f"print('hello')\n{HELPER}\nif __name__ == '__main__':\n    print(aux(1, 2))",
    ],
)
def test_the_same_function_whatever_is_around_it(text: str) -> None:
    assert helper(text) == HELPER


def test_nested_functions_stay_inside_and_lines_behind_them_stay() -> None:
    text = "def aux(xs):\n    def inner(x):\n        return x\n\n    ys = xs\n    return inner(ys)"
    assert helper(text) == text
    assert names(text) == ["aux"]
    assert helper(f"Nested:\n{text}\nis it not?") == text


def test_imports_constants_and_classes_are_kept_and_statements_that_only_do_something_are_not() -> None:
    text = (
        "import math, os.path\nfrom re import sub as s\nLIMIT = 3\nA, B = 1, 2\nSIZE: int = 4\n"
        f"class Box:\n    pass\n\n{HELPER}\nprint(LIMIT)\nfor i in range(3):\n    pass\n"
    )
    kept = ["math", "os", "s", "LIMIT", "A", "B", "SIZE", "Box", "aux"]
    assert names(text) == kept
    assert names("So:\n" + text) == kept


def test_an_example_of_use_is_no_constant() -> None:
    assert names(f"{HELPER}\nresult = aux(3, 2)\nTABLE = list(range(3))") == ["aux", "TABLE"]


def test_decorators_async_and_signatures_over_several_lines() -> None:
    text = "@cache\n@other(1)\nasync def aux(\n    x,\n    n,\n):\n    return x"
    assert helper(text) == text
    assert helper(f"Look:\n{text}\nnice, isn't it") == text


def test_a_docstring_with_lines_at_the_margin() -> None:
    text = 'def aux(x):\n    """What it does:\nnothing much\n    """\n    return x'
    assert helper(f"It's this:\n{text}") == text


def test_the_last_intact_definition_counts() -> None:
    twice = f"{HELPER}\n\ndef aux(x):\n    return x"
    assert helper(twice) == "def aux(x):\n    return x"
    assert helper(f"{HELPER}\n\ndef aux(x:\n    return x") == HELPER


def test_a_function_that_does_not_parse_is_there_with_its_error() -> None:
    broken = extract("def aux(x)\n    return x\n").function("aux")
    assert broken is not None
    assert broken.error == "line 1, column 11: expected ':'"
    assert broken.node is None
    assert broken.returns
    silent = extract("def aux(x)\n    'return x'\n").function("aux")
    assert silent is not None
    assert not silent.returns


@pytest.mark.parametrize(
    ("body", "returns"),
    [
        ("return 1", True),
        ("return", True),
        ('"""return 1"""', False),
        ("def inner():\n        return 1", False),
        ("f = lambda: 1", False),
        ("if x:\n        return 1", True),
    ],
)
def test_a_return_is_a_statement_of_the_functions_own(body: str, returns: bool) -> None:
    piece = extract(f"def aux(x):\n    {body}").function("aux")
    assert piece is not None
    assert piece.returns == returns


def test_names_can_be_taken_away_and_replaced() -> None:
    both = extract(f"import aux\n{HELPER}\n\n{MAIN}")
    assert [piece.names for piece in both.without({"aux"}).pieces] == [("total",)]
    assert both.replaced("aux", "def aux(*args): return None").source.count("% n") == 0
    assert extract("") == Pieces()


@pytest.mark.parametrize("text", malformed_actions("def f(x):", MAIN).values(), ids=malformed_actions())
def test_malformed_texts_do_no_harm(text: str) -> None:
    extract(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "-" * 100_000 + "1",
        "def f(:\n" * 10_000,
        "@a\n" * 10_000,
        "x = (" * 10_000,
        "lambda:" * 10_000,
        "import a\n" * 10_000 + "def f(",
        "def f():\n" + "".join(" " * depth + "if 1:\n" for depth in range(1, 400)),
        'def f():\n    """' + "\nword" * 10_000,
        "class A:\n" * 10_000,
        "def aux(x):\n    return " + "x." * 5_000 + "x",
        "def aux(x):\n    return " + "9" * 15_000,
        "\n" * 100_000,
    ],
)
def test_deep_and_huge_texts_take_no_time(text: str) -> None:
    start = time.process_time()
    extract(text)
    assert time.process_time() - start < 2


FRAGMENTS = st.sampled_from(
    [
        *["def ", "aux", "total", "(", ")", ":", "\n", "    ", "\t", "return ", "x", "=", "1", "[", "]", ",", '"""'],
        *[
            "'",
            "```",
            "```python\n",
            "lambda ",
            "async ",
            "class A:\n",
            "@",
            "import os\n",
            "from ",
            "# ",
            "\\",
            "{",
            "}",
        ],
        *["if ", "else:", "for x in xs:", "Here is", "\r", "\x00", "\f", "é", "\ud800", "0x", "1e999", "yield ", ";"],
    ]
)
FUZZ = settings(
    max_examples=2000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@FUZZ
@given(st.lists(FRAGMENTS, max_size=30))
def test_fuzz_fragments(parts: list[str]) -> None:
    extract("".join(parts))


@FUZZ
@given(st.integers(0, len(HELPER + MAIN) + 2), st.integers(0, 40), FRAGMENTS, st.text(max_size=4))
def test_fuzz_mutations(start: int, cut: int, fragment: str, noise: str) -> None:
    whole = f"{HELPER}\n\n{MAIN}"
    extract(whole[:start] + fragment + noise + whole[start + cut :])
