"""What the sandbox is asked and what it answers: plain values, all of them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from collm.errors import ConfigError, ProblemError
from collm.sandbox.asserts import plan
from collm.sandbox.inside import codec

LEAST_MEMORY_MIB = 64
LEAST_VALUE_BYTES = 4096


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of one of the program's functions with plain arguments."""

    function: str
    arguments: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True)
class Check:
    """A data set's test code: ``def check(candidate)`` with asserts, and whatever helpers it uses beside it.

    It runs in a process of its own, never in the one that runs the tested program, and every call of ``candidate`` (or
    of the entry point by its name) is carried there and back by the parent. Arguments and values cross by value: a
    check that looks for changes in a list it passed sees none. Asserts at the top level, without ``check``, work too.
    """

    source: str
    entry_point: str


@dataclasses.dataclass(frozen=True)
class Job:
    """A program, and what to ask it. Calls go to one process one by one, so a program may keep state between them."""

    source: str
    calls: tuple[Call, ...] = ()
    check: Check | None = None


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one job may use. The check's process has limits of its own, equal to those of the program's."""

    seconds: float = 10.0
    """Wall-clock time of a job from its start; then every process of it is killed."""
    cpu_seconds: int = 2
    """Processor time of a process; whole seconds, because the kernel counts no finer."""
    memory_mib: int = 256
    """Address space of a process."""
    value_bytes: int = 256 * 1024
    """Encoded size of one answer: a returned value and a few bytes around it."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ConfigError(f"sandbox seconds is {self.seconds}; it must be a finite number above 0.")
        if self.cpu_seconds < 1 or self.cpu_seconds != int(self.cpu_seconds):
            raise ConfigError(f"sandbox cpu_seconds is {self.cpu_seconds}; it must be a whole number from 1.")
        if self.memory_mib < LEAST_MEMORY_MIB:
            raise ConfigError(f"sandbox memory_mib is {self.memory_mib}; an interpreter needs {LEAST_MEMORY_MIB}.")
        if not LEAST_VALUE_BYTES <= self.value_bytes <= codec.MAX_BYTES:
            allowed = f"{LEAST_VALUE_BYTES} to {codec.MAX_BYTES}"
            raise ConfigError(f"sandbox value_bytes is {self.value_bytes}; allowed: {allowed}.")


@dataclasses.dataclass(frozen=True)
class Returned:
    """A call came back with a plain value."""

    value: Any


@dataclasses.dataclass(frozen=True)
class Raised:
    """A call ended with an exception, ``SystemExit`` included."""

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclasses.dataclass(frozen=True)
class Stopped:
    """A call has no outcome.

    ``reason`` is ``time`` (wall clock or processor), ``memory``, ``exit`` (the process ended itself), ``killed`` (by a
    signal), ``protocol`` (it wrote something else than an answer), ``unsupported value``, ``not reached`` (the program
    had been stopped before) or ``worker`` (the sandbox's own process was lost). After ``memory`` and ``unsupported
    value`` the program still answers; after the others it is gone.
    """

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"stopped: {self.reason}" + (f" ({self.detail})" if self.detail else "")


Result = Returned | Raised | Stopped


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of one assert of a check over all its executions.

    ``passed``: executed, and true each time. ``failed``: false or an exception at least once. ``not reached``: never
    executed. ``assert False`` is the other way round: it passes if the check ran to its end without reaching it.
    """

    text: str
    """The assert as written, on one line."""
    state: str
    reason: str = ""
    """The exception of the first failure."""

    @property
    def passed(self) -> bool:
        return self.state == "passed"


@dataclasses.dataclass(frozen=True)
class Report:
    """The outcome of a job."""

    error: Raised | Stopped | None
    """Why the source did not load; then no call was made and no assert was reached."""
    results: tuple[Result, ...] = ()
    """One per call, in order."""
    verdicts: tuple[Verdict, ...] = ()
    """One per assert of the check, in order of its source."""
    check_error: Raised | Stopped | None = None
    """What ended the check early, if anything did; an assert that fails does not."""

    @property
    def loaded(self) -> bool:
        return self.error is None


def key(job: Job) -> bytes:
    """Equal for jobs that are equal in value *and* type, which ``==`` is not: ``1 == True``."""
    calls = [(call.function, list(call.arguments)) for call in job.calls]
    check = (job.check.source, job.check.entry_point) if job.check else None
    try:
        return codec.encode((job.source, calls, check))
    except codec.Refused as error:
        raise ProblemError(f"a sandbox job holds {error}; calls take plain values only.") from None


def unanswered(job: Job, error: Raised | Stopped, why: Stopped) -> Report:
    """The report of a job whose program was never asked."""
    found = plan(job.check.source).assertions if job.check else ()
    verdicts = tuple(Verdict(each.text, "not reached") for each in found)
    return Report(error, (why,) * len(job.calls), verdicts)
