"""Programs that want more than they deserve get what their honest tests earn, and none stalls anybody."""

from __future__ import annotations

import time

import pytest

from collm.sandbox import Limits
from collm.tasks.coding import mini
from collm.tasks.coding.judge import Judge
from collm.tasks.coding.outcome import Outcome

PROBLEM = mini.posed("keep-even-total", 1)
ALONE = "def total(xs):\n    return sum(x for x in xs if x % 2 == 0)"
WRONG = 1.5
"""Both functions are there and parse, and no test passes."""
SECONDS = 20
"""Far more than any of these may take on a busy machine."""


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(Limits(seconds=5, cpu_seconds=1))


def outcome(judge: Judge, helper: str, main: str) -> Outcome:
    start = time.monotonic()
    (found,) = judge.outcomes([(PROBLEM, (helper, main))])
    assert time.monotonic() - start < SECONDS
    return found


def test_the_honest_pair(judge: Judge) -> None:
    assert outcome(judge, PROBLEM.aux, PROBLEM.main).hardened == 4.0


@pytest.mark.parametrize(
    "main",
    [
        ALONE.replace("    return", "    y = aux(xs[0])\n    return"),
        ALONE.replace("    return", "    aux(xs[0])\n    return"),
        ALONE.replace("    return", "    if False:\n        return aux(xs)\n    return"),
        ALONE.replace(
            "    return", "    try:\n        y = [aux(x) for x in xs]\n    except Exception:\n        y = 0\n    return"
        ),
        ALONE.replace("    return sum(", "    y = aux(xs[0])\n    return (y is None) * 0 + sum("),
    ],
)
def test_a_dead_call_is_worth_no_more_than_none(judge: Judge, main: str) -> None:
    assert outcome(judge, PROBLEM.aux, main).hardened == outcome(judge, PROBLEM.aux, ALONE).hardened == 2.5


@pytest.mark.parametrize(
    "main",
    [
        "def total(xs):\n    return aux(xs)",
        "def total(xs):\n    y = aux(xs)\n    return y",
        "def total(xs):\n    y = aux(xs)\n    z = y\n    return z",
        "def total(xs):\n    y = [aux(xs)]\n    for z in y:\n        return z",
    ],
)
def test_a_thin_wrapper_is_worth_no_more_than_none(judge: Judge, main: str) -> None:
    assert outcome(judge, ALONE.replace("total", "aux"), main).hardened == 2.5


EVERYTHING = "sum(x for x in xs if x % 2 == 0)"


@pytest.mark.parametrize(
    ("helper", "main"),
    [
        (f"def aux(xs, k):\n    return {EVERYTHING}", "return aux(xs, 1)"),
        (f"def aux(*xs):\n    return {EVERYTHING}", "return aux(*xs)"),
        (f"def aux(xs):\n    return {EVERYTHING}", "return aux(xs=xs)"),
        (f"def aux(xs, k):\n    return {EVERYTHING}", "ys = list(xs)\n    n = aux(ys, 1)\n    return n"),
        (
            f"def aux(xs, k):\n    return {EVERYTHING}",
            "try:\n        n = aux(xs, 1)\n    finally:\n        k = 0\n    return n",
        ),
        ("def aux():\n    return 1", f"k = aux()\n    return {EVERYTHING} * k"),
        ("def aux():\n    return 1", f"return {EVERYTHING} * aux()"),
        ("def aux(*a):\n    return 0", f"k = aux()\n    return k + {EVERYTHING}"),
        ("def aux(*a):\n    return 2", f"k = aux(xs) - aux(3)\n    return k + {EVERYTHING}"),
        ("def aux(x):\n    return x", "ys = aux(xs)\n    return sum(x for x in ys if x % 2 == 0)"),
        ("def aux(x):\n    return x", "return sum(x for x in aux(xs) if x % 2 == 0)"),
        ("def aux(x):\n    return x", "ys = [aux(x=x) for x in xs]\n    return sum(x for x in ys if x % 2 == 0)"),
    ],
)
def test_other_arguments_constants_and_identities_are_worth_no_more(judge: Judge, helper: str, main: str) -> None:
    found = outcome(judge, helper, f"def total(xs):\n    {main}")
    assert (found.passed, found.hardened) == (4, 2.5)


def test_a_recursive_helper_and_a_main_function_that_sorts_in_place_are_honest(judge: Judge) -> None:
    recursive = "def aux(xs):\n    return [] if not xs else [xs[0] % 2 == 0] + aux(xs[1:])"
    picks = "def total(xs):\n    ys = aux(xs)\n    return sum(x for x, y in zip(xs, ys) if y)"
    assert outcome(judge, recursive, picks).hardened == 4.0
    evens = "def aux(xs):\n    return [x for x in xs if x % 2 == 0]"
    adds = "def total(xs):\n    ys = aux(xs)\n    ys.append(sum(ys))\n    return ys.pop()"
    assert outcome(judge, evens, adds).hardened == 4.0


READS_THE_TESTS = """
def total(xs):
    import gc, os, sys
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):
            if hasattr(value, "expected"):
                return aux(value.expected)
        frame = frame.f_back
    for value in gc.get_objects():
        if type(value).__name__ in ("Case", "CodeProblem"):
            return value.expected
    for folder, _, files in os.walk("/"):
        for file in files:
            if file.startswith(("mini", "test_")):
                return open(os.path.join(folder, file)).read()
    return aux(0)
"""
ATTACKS = {
    "equal to everything": (
        "class Yes(int):\n    __eq__ = lambda s, o: True\n    __hash__ = int.__hash__\n\n"
        "def total(xs):\n    y = aux(1)\n    return Yes(y)"
    ),
    "equal list": "class Yes(list):\n    def __eq__(self, other):\n        return True\n\n"
    "def total(xs):\n    return Yes([aux(1)])",
    "reads the tests": READS_THE_TESTS,
    "exit": "def total(xs):\n    aux(1)\n    exit()\n    return 0",
    "exit at load": "X = __import__('os')._exit(0)\n\ndef total(xs):\n    return aux(1)",
    "hard exit": "def total(xs):\n    import os\n    os._exit(0)\n    return aux(1)",
    "infinite loop": "def total(xs):\n    while True:\n        aux(1)\n    return 0",
    "sleep": "def total(xs):\n    import time\n    time.sleep(60)\n    return aux(1)",
    "swallowed alarm": (
        "def total(xs):\n    while True:\n        try:\n            while True:\n                aux(1)\n"
        "        except BaseException:\n            pass\n    return 0"
    ),
    "fork bomb": "def total(xs):\n    import os\n    while True:\n        os.fork()\n    return aux(1)",
    "memory bomb": "def total(xs):\n    y = [aux(1)]\n    while True:\n        y = y + y\n    return y",
    "big number": "def total(xs):\n    return 9 ** 9 ** 9 + aux(1)",
    "gigabyte of output": "def total(xs):\n    for _ in range(1024):\n        print('x' * 2 ** 20)\n    return aux(1)",
    "gigabyte of result": "def total(xs):\n    return 'x' * 2 ** 27 + str(aux(1))",
    "forged answer": (
        "def total(xs):\n    import os\n    for fd in range(64):\n        try:\n"
        "            os.write(fd, b'passed ' * 99)\n        except OSError:\n            pass\n    return aux(1)"
    ),
    "other file": "def total(xs):\n    open('/tmp/coop_he_escaped', 'w').write('x')\n    return aux(1)",
    "network": (
        "def total(xs):\n    import socket\n    socket.create_connection(('127.0.0.1', 80), timeout=1)\n    return aux(1)"
    ),
    "builtins": (
        "import builtins\n\ndef total(xs):\n    builtins.type = lambda x: int\n"
        "    builtins.isinstance = lambda a, b: True\n"
        "    builtins.len = lambda x: 0\n    y = aux(1)\n    return y"
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_earn_what_their_tests_earn(judge: Judge, name: str) -> None:
    found = outcome(judge, "def aux(x):\n    return 'nothing'", ATTACKS[name])
    assert found.hardened == WRONG
    assert found.passed == 0


def test_patched_builtins_change_no_verdict_of_a_right_answer(judge: Judge) -> None:
    """A program that patches its own process and still computes the answer is right, and only then."""
    patch = "import builtins\n\ndef aux(x):\n    builtins.repr = lambda y: 'forged'\n    return x % 2 == 0"
    assert outcome(judge, patch, PROBLEM.main).hardened == 4.0


def test_the_pool_is_well_afterwards(judge: Judge) -> None:
    honest = [(PROBLEM, (PROBLEM.aux + "\n" * count, PROBLEM.main)) for count in range(1, 9)]
    assert {found.hardened for found in judge.outcomes(honest)} == {4.0}


def test_a_helper_that_tells_the_stub_from_itself_is_not_seen_through(judge: Judge) -> None:
    """The known limit of the measure: a main function that solves all and refuses to without a helper."""
    suspects = ALONE.replace("    return", "    if aux(0) is None:\n        return None\n    return")
    assert outcome(judge, PROBLEM.aux, suspects).hardened == 2.5
    refuses = ALONE.replace("    return", "    if aux(1) or not aux(2):\n        return None\n    return")
    assert outcome(judge, PROBLEM.aux, refuses).hardened == 4.0
