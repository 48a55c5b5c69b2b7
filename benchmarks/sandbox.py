"""Programs per second and latency of the sandbox: python benchmarks/sandbox.py

A small program is asked eight calls, one by one; no two programs are equal unless the line says so.
"""

from __future__ import annotations

import json
import os
import statistics
import time

from collm.sandbox import Call, Check, Job, Returned, Sandbox

PROGRAMS, STARTS, WORKERS = 1000, 5, 2
SOURCE = "def aux(x):\n    return x * x\n\ndef total(n):\n    return sum(aux(i) for i in range(n))\n# {}\n"
CALLS = tuple(Call("total", (n,)) for n in range(8))
CHECK = Check(
    "def check(candidate):\n    for n in range(8):\n        assert candidate(n) == sum(i * i for i in range(n))",
    "total",
)


def main() -> None:
    processor = processor_seconds()
    cold = [cold_start() for _ in range(STARTS)]
    with Sandbox(WORKERS) as sandbox:
        sandbox.run(programs(50, "warm"))
        report = {
            "level": sandbox.level.name,
            "workers": WORKERS,
            "programs_per_s": round(PROGRAMS / batch(sandbox, programs(PROGRAMS, "batch"))),
            "with_check_per_s": round(PROGRAMS / 2 / batch(sandbox, programs(PROGRAMS // 2, "check", CHECK))),
            "identical_per_s": round(PROGRAMS / batch(sandbox, programs(1, "same") * PROGRAMS)),
        }
        single = [1000 * batch(sandbox, [job]) for job in programs(PROGRAMS // 2, "single")]
    centiles = statistics.quantiles(single, n=100)
    report |= {
        "latency_ms_p50": round(centiles[49], 1),
        "latency_ms_p99": round(centiles[98], 1),
        "cold_start_ms": round(1000 * statistics.median(cold)),
        "processor_ms_per_program": round(1000 * processor / PROGRAMS, 1),
    }
    print(json.dumps(report))


def processor_seconds() -> float:
    """Processor time of a pool's whole life with its programs, parent included: what a busy machine changes least."""
    before = used()
    with Sandbox(WORKERS) as sandbox:
        sandbox.run(programs(PROGRAMS, "processor"))
    return used() - before


def used() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def programs(count: int, mark: str, check: Check | None = None) -> list[Job]:
    return [Job(SOURCE.format(f"{mark} {i}"), () if check else CALLS, check) for i in range(count)]


def batch(sandbox: Sandbox, jobs: list[Job]) -> float:
    """Seconds for the batch, whose answers must be right."""
    started = time.perf_counter()
    reports = sandbox.run(jobs)
    seconds = time.perf_counter() - started
    for report in reports:
        assert list(report.results) == [Returned(sum(i * i for i in range(n))) for n in range(len(report.results))]
        assert all(verdict.passed for verdict in report.verdicts)
    return seconds


def cold_start() -> float:
    """Seconds from nothing to the first answer of a pool."""
    started = time.perf_counter()
    with Sandbox(WORKERS) as sandbox:
        sandbox.run(programs(1, "cold"))
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
