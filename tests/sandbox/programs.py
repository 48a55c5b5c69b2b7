"""Helpers for tests that run a program in the sandbox."""

from __future__ import annotations

from typing import Any

from collm.sandbox import Call, Check, Job, Limits, Report, Result, Sandbox

QUICK = Limits(seconds=3.0, cpu_seconds=1, memory_mib=192)
"""Stalls are stopped soon; who works is done long before, also on a machine that stands still for a second."""


def call(sandbox: Sandbox, source: str, *arguments: Any) -> Result:
    """What ``f`` of the program does with the arguments; the program must load."""
    report = sandbox.run([Job(source, (Call("f", arguments),))])[0]
    assert report.error is None, report.error
    return report.results[0]


def check(sandbox: Sandbox, source: str, tests: str, entry_point: str = "f") -> Report:
    return sandbox.run([Job(source, (), Check(tests, entry_point))])[0]


def states(report: Report) -> list[str]:
    return [verdict.state for verdict in report.verdicts]


def still_works(sandbox: Sandbox) -> bool:
    """Every worker answers an ordinary program correctly."""
    jobs = [Job(f"def f(x): return x + {i}", (Call("f", (1,)),)) for i in range(6)]
    return [report.results[0].value for report in sandbox.run(jobs)] == [1, 2, 3, 4, 5, 6]  # type: ignore[union-attr]
