"""Running programs: all of a turn in one batch, each verdict remembered, and none of them given by the tested code."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from collm.sandbox import Call, Check, Job, Limits, Raised, Report, Result, Returned, Sandbox, Stopped
from collm.tasks.coding import said
from collm.tasks.coding.assembly import Program, assemble, use_of_helper
from collm.tasks.coding.outcome import Outcome
from collm.tasks.coding.problems import Case, CodeProblem
from collm.tasks.coding.values import same

_REMEMBERED = 20_000
"""Verdicts that a judge keeps."""
_OUTCOME = [field.name for field in dataclasses.fields(Outcome)]
_KINDS = [type(value) for value in vars(Outcome()).values()]
"""Of an outcome's numbers: int or bool."""

Trial = tuple[CodeProblem, tuple[str, ...]]
"""A problem and a joint action."""


@functools.cache
def shared_sandbox(limits: Limits) -> Sandbox:
    """The process's pool for these limits, started when it is first needed and closed at exit."""
    sandbox = Sandbox(limits=limits)
    atexit.register(sandbox.close)
    return sandbox


@dataclasses.dataclass(frozen=True)
class Tested:
    """What became of one test."""

    passed: bool
    reason: str = ""
    """Why it did not pass, for people and models."""
    timed_out: bool = False


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """A program and what became of its tests, public ones first; nothing about cooperation yet."""

    program: Program
    outcome: Outcome
    tests: tuple[Tested, ...]
    """Public tests only: the others are nobody's business."""


@dataclasses.dataclass(frozen=True)
class _Verdict:
    """What a program did when it ran; near a time limit it may not do so again."""

    outcome: Outcome
    tests: tuple[Tested, ...]


class Judge:
    """Gives outcomes of joint actions; equal joint actions get equal outcomes."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._programs: dict[str, Program] = {}
        self._verdicts: dict[str, _Verdict] = {}
        self._outcomes: dict[str, Outcome] = {}

    @property
    def sandbox(self) -> Sandbox:
        return shared_sandbox(self.limits)

    def diagnoses(self, trials: Sequence[Trial]) -> list[Diagnosis]:
        """What the tests say of each joint action; those not seen before are run in one batch."""
        asked = {_key(trial): trial for trial in trials}
        programs = self._assembled(asked)
        new = {key: trial for key, trial in asked.items() if key not in self._verdicts}
        runnable = [key for key in new if programs[key].main is not None and not programs[key].errors]
        reports = self.sandbox.run([job(new[key][0], programs[key].source) for key in runnable])
        tested = {key: results(new[key][0], report) for key, report in zip(runnable, reports, strict=True)}
        _forget(self._verdicts, len(new), set(asked))
        for key, (problem, _) in new.items():
            self._verdicts[key] = _verdict(problem, programs[key], tested.get(key))
        found = {key: self._verdicts[key] for key in asked}
        return [Diagnosis(programs[key], found[key].outcome, found[key].tests) for key in map(_key, trials)]

    def _assembled(self, asked: Mapping[str, Trial]) -> dict[str, Program]:
        """The program of each joint action, put together when it is first asked for."""
        new = [key for key in asked if key not in self._programs]
        _forget(self._programs, len(new), set(asked))
        self._programs.update({key: assemble(*asked[key]) for key in new})
        return {key: self._programs[key] for key in asked}

    def outcomes(self, trials: Sequence[Trial]) -> list[Outcome]:
        """The outcome of each joint action, in two batches: as it is, and with stand-ins for each half."""
        found = dict(zip(map(_key, trials), self.diagnoses(trials), strict=True))
        new = {key: trial for trial in trials if (key := _key(trial)) not in self._outcomes}
        paired = [key for key in new if found[key].outcome.judged_together]
        reports = iter(self.sandbox.run([each for key in paired for each in _halves(new[key][0], found[key].program)]))
        _forget(self._outcomes, len(new), set(found))
        for key, (problem, _) in new.items():
            outcome = found[key].outcome
            if outcome.judged_together:
                alone = [_passed(problem, next(reports)) for _ in range(4)]
                if _has_calls(problem):
                    report = next(reports)
                    alone.append(_passed(problem, dataclasses.replace(report, results=report.results[1:])))
                through, first, *without = alone
                outcome = dataclasses.replace(
                    outcome, passed_without_helper=max(without), passed_by_helper=max(through, first)
                )
            self._outcomes[key] = outcome
        return [self._outcomes[_key(trial)] for trial in trials]

    def memory(self) -> dict[str, Any]:
        """All verdicts so far, oldest first, as JSON can hold them."""
        tests = [
            [key, _written(verdict.outcome), [[*vars(test).values()] for test in verdict.tests]]
            for key, verdict in self._verdicts.items()
        ]
        outcomes = [[key, _written(outcome)] for key, outcome in self._outcomes.items()]
        return {"outcome": _OUTCOME, "tests": tests, "outcomes": outcomes}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Give these verdicts, and no others, from now on. Raises ValueError if outcomes have other parts by now."""
        if memory["outcome"] != _OUTCOME:
            raise ValueError("its verdicts are of another version of CoopHE")
        self._verdicts = {
            key: _Verdict(_outcome(written), tuple(Tested(*test) for test in tests))
            for key, written, tests in memory["tests"]
        }
        self._outcomes = {key: _outcome(written) for key, written in memory["outcomes"]}


def _written(outcome: Outcome) -> str:
    """The numbers of an outcome, one behind the other: thousands of them go into a checkpoint."""
    return " ".join(str(int(value)) for value in vars(outcome).values())


def _outcome(written: str) -> Outcome:
    return Outcome(*(kind(int(number)) for kind, number in zip(_KINDS, written.split(), strict=True)))


def _has_calls(problem: CodeProblem) -> bool:
    """Whether all tests are calls with a known answer."""
    return all(case.arguments is not None for case in problem.tests)


def _halves(problem: CodeProblem, program: Program) -> list[Job]:
    """The program with stand-ins for its main function, then for its helper.

    A constant helper is tried where the tests are calls: the last call comes first, for the constant of the next one.
    """
    sources = (program.helper_alone, program.with_first, program.without_helper, program.with_same)
    jobs = [job(problem, source) for source in sources]
    if _has_calls(problem):
        constant = job(problem, program.with_constant)
        jobs.append(dataclasses.replace(constant, calls=(constant.calls[-1], *constant.calls)))
    return jobs


def _key(trial: Trial) -> str:
    """A short name of a problem and a joint action: responses are long, and all verdicts go into every checkpoint."""
    problem, actions = trial
    return hashlib.blake2b(json.dumps([problem.id, *actions]).encode(), digest_size=16).hexdigest()


def _forget(memory: dict, coming: int, needed: set) -> None:
    """Make room for new verdicts: the oldest that nobody asks for right now go first."""
    surplus = len(memory) + coming - _REMEMBERED
    if surplus > 0:
        for key in [key for key in memory if key not in needed][:surplus]:
            del memory[key]


def job(problem: CodeProblem, source: str) -> Job:
    """A program and all tests of the problem."""
    calls = tuple(Call(problem.entry_point, case.arguments) for case in problem.tests if case.arguments is not None)
    check = Check(problem.check, problem.entry_point) if problem.check else None
    return Job(source, calls, check)


def results(problem: CodeProblem, report: Report) -> list[Tested]:
    """One entry per test of the problem, public ones first. The comparison is made here, on plain values."""
    if report.error is not None:
        late = isinstance(report.error, Stopped) and report.error.reason == "time"
        return [Tested(False, _text(report.error), late) for _ in problem.tests]
    answers = iter(report.results)
    return [
        _by_verdict(case, report) if case.arguments is None else _by_value(case, next(answers))
        for case in problem.tests
    ]


def _by_value(case: Case, result: Result) -> Tested:
    if isinstance(result, Returned):
        right = same(result.value, case.expected)
        return Tested(right, "" if right else f"it gave {said.value(result.value)}")
    return Tested(False, _text(result), isinstance(result, Stopped) and result.reason == "time")


def _by_verdict(case: Case, report: Report) -> Tested:
    verdict = report.verdicts[case.index]
    if verdict.passed:
        return Tested(True)
    ended = report.check_error
    late = isinstance(ended, Stopped) and ended.reason == "time"
    reason = verdict.reason or (_text(ended) if ended is not None else verdict.state)
    return Tested(False, said.line(reason), late and verdict.state == "not reached")


def _text(error: Raised | Stopped) -> str:
    return said.line(str(error))


def _passed(problem: CodeProblem, report: Report) -> int:
    """Held-out tests passed."""
    return sum(test.passed for test in results(problem, report)[len(problem.public) :])


def _verdict(problem: CodeProblem, program: Program, tested: list[Tested] | None) -> _Verdict:
    ran = tested if tested is not None else [Tested(False, "the program does not run")] * len(problem.tests)
    shown, scored = ran[: len(problem.public)], ran[len(problem.public) :]
    use = use_of_helper(program.main)
    outcome = Outcome(
        aux_defined=program.aux is not None,
        aux_returns=program.aux is not None and program.aux.returns,
        main_defined=program.main is not None,
        main_returns=program.main is not None and program.main.returns,
        parses=program.main is not None and not program.errors,
        calls_aux=use.calls,
        thin=use.thin,
        ignores_aux=use.ignored,
        public_passed=sum(test.passed for test in shown),
        public_total=len(shown),
        passed=sum(test.passed for test in scored),
        total=len(scored),
        timeouts=sum(test.timed_out for test in scored),
    )
    return _Verdict(outcome, tuple(shown))
