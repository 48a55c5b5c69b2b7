"""One job on one worker: the parent stands between the tested program and what tests it."""

from __future__ import annotations

import signal
import time
from typing import Any

from collm.sandbox.asserts import Assertion, plan
from collm.sandbox.jobs import Check, Job, Raised, Report, Result, Returned, Stopped, Verdict, unanswered
from collm.sandbox.worker import Child, ChildGone, End, Protocol, Worker

_GONE = Stopped("not reached", "the program had ended")
_NOT_LOADED = Stopped("not reached", "the program did not load")
_CPU_SHARE = 0.8
"""Share of the processor time from which a killed process counts as killed for it: the kernel's limit goes by samples
taken at its clock ticks, which overstate what was used on a busy machine."""


def try_job(worker: Worker, job: Job) -> Report:
    """Run the job; raises ``WorkerLost`` if the worker itself fails."""
    deadline = time.monotonic() + worker.limits.seconds
    subject = _Process(worker, deadline, ("subject", job.source))
    try:
        loaded = subject.answer()
        if not isinstance(loaded, Returned):
            return unanswered(job, loaded, _NOT_LOADED)
        results = tuple(subject.call(call.function, call.arguments, {}) for call in job.calls)
        if job.check is None:
            return Report(None, results)
        verdicts, error = _judge(worker, deadline, job.check, subject)
        return Report(None, results, verdicts, error)
    finally:
        subject.close()


class _Process:
    """A child that answers until it is stopped; afterwards ``stopped`` says why."""

    def __init__(self, worker: Worker, deadline: float, opening: tuple[Any, ...]):
        self._limits = worker.limits
        self._deadline = deadline
        self._child: Child | None = worker.start()
        self.stopped: Stopped | None = None
        self.send(opening)

    def send(self, message: tuple[Any, ...]) -> None:
        if self._child is None:
            return
        try:
            self._child.send(message, self._deadline)
        except (ChildGone, TimeoutError) as error:
            self._stop(error)

    def receive(self) -> tuple[Any, ...] | None:
        """The next message, or None when there will be none."""
        if self._child is None:
            return None
        try:
            return self._child.receive(self._deadline)
        except (ChildGone, TimeoutError, Protocol) as error:
            self._stop(error)
            return None

    def call(self, function: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Result:
        if self.stopped is not None:
            return _GONE
        self.send((function, arguments, keywords))
        return self.answer()

    def answer(self) -> Result:
        match self.receive():
            case None:
                return self.stopped or _GONE
            case ("value", value):
                return Returned(value)
            case ("raised", "MemoryError", str(message)):
                return Stopped("memory", message)
            case ("raised", str(kind), str(message)):
                return Raised(kind, message)
            case ("refused", str(message)):
                return Stopped("unsupported value", message)
        self._stop(Protocol("a message that is no answer"))
        return self.stopped or _GONE

    def close(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.end()

    def _stop(self, error: Exception) -> None:
        """End the process and find out what stopped it."""
        if self._child is None:
            return
        child, self._child = self._child, None
        end = child.end()
        if isinstance(error, Protocol):
            self.stopped = Stopped("protocol", str(error))
        elif isinstance(error, TimeoutError):
            self.stopped = Stopped("time", f"more than {self._limits.seconds:g} s")
        elif end.status == -signal.SIGXCPU or self._overworked(end):
            self.stopped = Stopped("time", f"more than {self._limits.cpu_seconds} s of processor time")
        elif end.status < 0:
            self.stopped = Stopped("killed", signal.Signals(-end.status).name)
        else:
            self.stopped = Stopped("exit", f"with status {end.status}")

    def _overworked(self, end: End) -> bool:
        """Whether a program that ignored the warning was killed for its processor time."""
        return end.status < 0 and end.cpu_seconds >= _CPU_SHARE * self._limits.cpu_seconds


def _judge(
    worker: Worker, deadline: float, check: Check, subject: _Process
) -> tuple[tuple[Verdict, ...], Raised | Stopped | None]:
    """Run the check in its own process and carry its questions to the subject."""
    planned = plan(check.source)
    passed: set[int] = set()
    failed: dict[int, str] = {}
    ended: tuple[Any, ...] | None = None
    judge = _Process(worker, deadline, ("judge", planned.source, check.entry_point))
    try:
        while ended is None:
            match judge.receive():
                case None:
                    break
                case ("ask", tuple(arguments), dict(keywords)):
                    judge.send(_reply(subject.call(check.entry_point, arguments, keywords)))
                case ("verdict", int(number), None):
                    passed.add(number)
                case ("verdict", int(number), str(reason)):
                    failed.setdefault(number, reason)
                case ("end", *rest):
                    ended = tuple(rest)
    finally:
        judge.close()
    complete = ended == ()
    verdicts = tuple(_verdict(each, i in passed, failed.get(i), complete) for i, each in enumerate(planned.assertions))
    if ended:
        return verdicts, Raised(*ended)
    return verdicts, None if complete else judge.stopped or subject.stopped


def _reply(result: Result) -> tuple[Any, ...]:
    match result:
        case Returned(value):
            return ("value", value)
        case Raised(kind, message):
            return ("raised", kind, message)
    return ("stopped", "stopped", str(result).removeprefix("stopped: "))


def _verdict(assertion: Assertion, passed: bool, failure: str | None, complete: bool) -> Verdict:
    if failure is not None:
        return Verdict(assertion.text, "failed", failure)
    if passed or (assertion.is_trap and complete):
        return Verdict(assertion.text, "passed")
    return Verdict(assertion.text, "not reached")
