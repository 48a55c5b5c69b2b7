"""A data set's test code against a candidate in another process: a verdict for every assert."""

from __future__ import annotations

from collm.sandbox import Call, Check, Job, Limits, Raised, Returned, Sandbox, Stopped
from tests.sandbox.programs import QUICK, check, states

SQUARE = "def f(x): return x * x"


def test_every_assert_has_its_own_verdict(sandbox: Sandbox) -> None:
    tests = """
def check(candidate):
    assert candidate(2) == 4
    assert candidate(3) == 10, "ten"
    assert candidate(
        4
    ) == (
        16
    )
    assert candidate("a") == 1
"""
    report = check(sandbox, SQUARE, tests)
    assert states(report) == ["passed", "failed", "passed", "failed"]
    assert report.verdicts[1].reason == "AssertionError: ten"
    assert report.verdicts[2].text == "assert candidate(4) == 16"
    assert report.verdicts[3].reason.startswith("TypeError: can't multiply sequence")
    assert report.check_error is None


def test_an_assert_in_a_loop_passes_if_it_passes_every_time(sandbox: Sandbox) -> None:
    tests = """
import math
def near(a, b):
    return math.isclose(a, b, rel_tol=1e-9)
def check(candidate):
    def twice(x):
        assert candidate(x) == candidate(x)
    for i in range(20):
        assert candidate(i) == i * i
        assert candidate(i) < 100
        twice(i)
    for i in ():
        assert candidate(i) == i
    assert near(candidate(0.1), 0.01)
"""
    assert states(check(sandbox, SQUARE, tests)) == ["passed", "passed", "failed", "not reached", "passed"]


def test_exceptions_of_the_candidate_can_be_expected(sandbox: Sandbox) -> None:
    source = (
        "class Own(Exception): pass\ndef f(x):\n    if x < 0: raise ValueError('negative')\n"
        "    if x > 9: raise Own('large')\n    return x"
    )
    tests = """
def check(candidate):
    try:
        candidate(-1)
        assert False, "no error"
    except ValueError as error:
        assert str(error) == "negative"
    try:
        candidate(1)
        assert False, "no error"
    except ValueError:
        pass
    assert candidate(10) == 10
"""
    report = check(sandbox, source, tests)
    assert states(report) == ["passed", "passed", "failed", "failed"]
    assert report.verdicts[3].reason == "Own: large"


def test_asserts_by_name_of_the_function_without_check(sandbox: Sandbox) -> None:
    """MBPP writes them so, with keywords and set and tuple results."""
    tests = "assert f(2) == 4\nassert set([f(x=3)]) == {9}\nassert f(1) == 2"
    assert states(check(sandbox, SQUARE, tests)) == ["passed", "passed", "failed"]


def test_an_error_of_the_check_leaves_the_rest_unreached(sandbox: Sandbox) -> None:
    tests = (
        "def check(candidate):\n    assert candidate(1) == 1\n"
        "    x = candidate(2)[0]\n    assert x == 4\n    assert False"
    )
    report = check(sandbox, SQUARE, tests)
    assert states(report) == ["passed", "not reached", "not reached"]
    assert report.check_error == Raised("TypeError", "'int' object is not subscriptable")


def test_calls_and_check_of_one_job_meet_the_same_process(sandbox: Sandbox) -> None:
    source = "n = 0\ndef f():\n    global n\n    n += 1\n    return n"
    report = sandbox.run([Job(source, (Call("f"), Call("f")), Check("assert f() == 3", "f"))])[0]
    assert report.results == (Returned(1), Returned(2))
    assert states(report) == ["passed"]


def test_a_candidate_that_ends_or_hangs_fails_from_there_on(sandbox: Sandbox) -> None:
    tests = "def check(candidate):\n    assert candidate(1) == 1\n    assert candidate(2) == 4\n    assert candidate(3) == 9"
    ends = "import os\ndef f(x):\n    if x == 2: os._exit(0)\n    return x * x"
    report = check(sandbox, ends, tests)
    assert states(report) == ["passed", "failed", "failed"]
    assert report.verdicts[1].reason == "stopped: exit (with status 0)"
    hangs = "def f(x):\n    while x == 2: pass\n    return x * x"
    with Sandbox(1, Limits(seconds=30, cpu_seconds=1)) as patient:
        report = check(patient, hangs, tests)
    assert states(report) == ["passed", "failed", "failed"]
    assert report.verdicts[1].reason.startswith("stopped: time")
    sleeps = "import time\ndef f(x):\n    if x == 2: time.sleep(60)\n    return x * x"
    report = check(sandbox, sleeps, tests)
    assert states(report) == ["passed", "not reached", "not reached"]
    assert report.check_error == Stopped("time", f"more than {QUICK.seconds:g} s")


def test_a_check_that_never_ends_is_stopped(sandbox: Sandbox) -> None:
    report = check(sandbox, SQUARE, "def check(candidate):\n    assert candidate(1) == 1\n    while True: pass")
    assert states(report) == ["passed"]
    assert isinstance(report.check_error, Stopped)
    assert report.check_error.reason == "time"
