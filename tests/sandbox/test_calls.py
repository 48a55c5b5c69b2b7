"""What honest programs get: values, exceptions, order, and the same answer wherever and whenever they run."""

from __future__ import annotations

import pytest

from collm.errors import ConfigError, ProblemError
from collm.sandbox import Call, Check, Job, Limits, Raised, Returned, Sandbox, Stopped
from tests.sandbox.programs import call, check


def test_values_come_back_with_their_types(sandbox: Sandbox) -> None:
    value = [1, True, 1.5, (None, "é"), {"a": {1, 2}}, frozenset({3}), b"\x00", 10**50]
    assert call(sandbox, "def f(x): return x", value) == Returned(value)
    assert call(sandbox, "def f(*x): return x", 1, True) == Returned((1, True))


def test_an_exception_is_a_result_and_the_next_call_goes_on(sandbox: Sandbox) -> None:
    source = "seen = []\ndef f(x):\n    seen.append(x)\n    return 10 // x\ndef g(): return seen"
    calls = (Call("f", (0,)), Call("f", (3,)), Call("h", (1,)), Call("g"))
    assert sandbox.run([Job(source, calls)])[0].results == (
        Raised("ZeroDivisionError", "integer division or modulo by zero"),
        Returned(3),
        Raised("NameError", "the program defines no 'h'"),
        Returned([0, 3]),
    )


def test_a_program_that_does_not_load_is_asked_nothing(sandbox: Sandbox) -> None:
    tests = "def check(candidate):\n    assert candidate() == 1\n    assert False"
    for source, kind in {
        "def f(:": "SyntaxError",
        "1 / 0": "ZeroDivisionError",
        "raise SystemExit(0)": "SystemExit",
        "a\0b": "ValueError",
    }.items():
        report = sandbox.run([Job(source, (Call("f"),), Check(tests, "f"))])[0]
        assert isinstance(report.error, Raised)
        assert (report.loaded, report.error.type) == (False, kind) or kind == "ValueError"
        assert report.results == (Stopped("not reached", "the program did not load"),)
        assert [verdict.state for verdict in report.verdicts] == ["not reached"] * 2


def test_the_standard_library_is_there_and_other_packages_are_not(sandbox: Sandbox) -> None:
    source = (
        "import bisect, csv, html.parser, difflib\n"
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n"
        "def f(): return P(3).x"
    )
    assert call(sandbox, source) == Returned(3)
    for package in ("torch", "numpy", "collm", "pytest"):
        report = sandbox.run([Job(f"import {package}")])[0]
        assert isinstance(report.error, Raised)
        assert report.error.type == "ModuleNotFoundError"


def test_unsupported_values_are_named_and_harmless(sandbox: Sandbox) -> None:
    source = "def f(): return (i for i in 'ab')\ndef g(): return 'x' * 10**6\ndef h(): return 1"
    results = sandbox.run([Job(source, (Call("f"), Call("g"), Call("h")))])[0].results
    assert results[0] == Stopped("unsupported value", "a value of type generator")
    assert results[1] == Stopped("unsupported value", "a value of more than 262144 bytes")
    assert results[2] == Returned(1)


def test_reports_come_in_order_and_equal_jobs_run_once(sandbox: Sandbox) -> None:
    """The clock tells executions apart: equal jobs share one report, jobs that differ by a type do not."""
    source = "import time\ndef f(x): return (x, time.perf_counter_ns())"
    jobs = [Job(source, (Call("f", (x,)),)) for x in (1, 2, 1, True, 1.0, 2)]
    values = [report.results[0].value for report in sandbox.run(jobs)]  # type: ignore[union-attr]
    assert [(type(x), x) for x, _ in values] == [(int, 1), (int, 2), (int, 1), (bool, True), (float, 1.0), (int, 2)]
    assert values[0] == values[2]
    assert values[1] == values[5]
    assert len(set(values)) == 4
    assert sandbox.run(jobs[:1])[0].results != sandbox.run(jobs[:1])[0].results


def test_results_do_not_depend_on_workers_or_company(sandbox: Sandbox) -> None:
    """Chance, hashes and the recursion limit are fixed, and a program leaves nothing to the next one."""
    source = (
        "import random, sys, builtins\nbuiltins.left = getattr(builtins, 'left', 0) + 1\n"
        "def f():\n    return (random.random(), hash('text'), list({'a', 'b', 'c'}), sys.getrecursionlimit(), left)\n"
        "def g(n): return 0 if n == 0 else 1 + g(n - 1)"
    )
    jobs = [Job(f"# {i}\n{source}", (Call("f"), Call("g", (900,)), Call("g", (2000,)))) for i in range(6)]
    with Sandbox(1, sandbox.limits) as single:
        alone = [single.run([job])[0] for job in jobs]
    assert sandbox.run(jobs) == alone
    assert len({str(report) for report in alone}) == 1
    assert alone[0].results[0].value[4] == 1  # type: ignore[union-attr]
    assert alone[0].results[1] == Returned(900)


def test_smoke_a_large_batch_is_answered(sandbox: Sandbox) -> None:
    jobs = [Job(f"def f(x): return x + {i}", tuple(Call("f", (x,)) for x in range(4))) for i in range(150)]
    expected = [tuple(Returned(x + i) for x in range(4)) for i in range(150)]
    assert [report.results for report in sandbox.run(jobs)] == expected


def test_bad_orders_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigError, match="workers is 0"):
        Sandbox(0)
    with pytest.raises(ConfigError, match="Did you mean 'seccomp'"):
        Sandbox(1, without=("secomp",))
    for wrong in ({"seconds": 0}, {"cpu_seconds": 0}, {"memory_mib": 8}, {"value_bytes": 1}):
        with pytest.raises(ConfigError, match=r"must|allowed|needs"):
            Limits(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ProblemError, match="plain values"):
        call(sandbox, "def f(x): return x", object())
    with pytest.raises(ProblemError, match="not valid Python"):
        check(sandbox, "def f(): return 1", "def check(")
