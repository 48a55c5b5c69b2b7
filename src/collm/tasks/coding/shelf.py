"""The problems of a task, whatever their source: verified in the sandbox before anybody plays them."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import get_args

from collm.errors import ConfigError, ProblemError
from collm.sandbox import Call, Job, Report, Returned, Stopped
from collm.tasks.coding import mini
from collm.tasks.coding.assembly import assemble
from collm.tasks.coding.judge import Judge
from collm.tasks.coding.parts import Verb
from collm.tasks.coding.problems import CodeProblem
from collm.tasks.coding.values import same
from collm.tasks.protocol import SPLITS, Split
from collm.tasks.sources import BadRows

_FORM = "A name is VERB-STEP-FINISH, such as 'keep-even-total', with one of the verbs"
_BUNDLE = 24
"""Generated problems that are verified by one process."""
_RUNNER = """
PROGRAMS = {programs!r}
LOADED = {{}}
def run(which, function, *arguments):
    if which not in LOADED:
        LOADED[which] = {{}}
        exec(PROGRAMS[which], LOADED[which])
    try:
        return [LOADED[which][function](*arguments)]
    except Exception:
        return []
"""


@dataclasses.dataclass(frozen=True)
class Shelf:
    """Where a task takes its problems from."""

    problems: Callable[[Split], Sequence[CodeProblem]]
    problem: Callable[[str], CodeProblem]
    notes: Callable[[], Sequence[str]]


def open_shelf(
    source: str,
    judge: Judge,
    sizes: Mapping[str, int],
    public: int,
    seed: int,
    location: str = "",
    bad_rows: BadRows = "refuse",
) -> Shelf:
    """The problems of a source. Raises ConfigError for a data set that cannot be used."""
    if source == "mini":
        return _generated(judge, sizes, public, seed)
    from collm.tasks.coding.hub import read

    found, notes = read(source, judge, public, location, bad_rows)
    cut = {split: found[split][: sizes[split]] for split in SPLITS}
    named = {problem.id: problem for split in SPLITS for problem in found[split]}
    return Shelf(lambda split: cut[split], functools.partial(_named, named), lambda: notes)


def _named(known: Mapping[str, CodeProblem], text: str) -> CodeProblem:
    if text in known:
        return known[text]
    raise _unknown(text, known, f"Names are those of the data set, such as '{next(iter(known))}'")


def _unknown(text: str, known: Collection[str], form: str) -> ProblemError:
    """The error for a problem that does not exist: the nearest one and the form, too many to list them."""
    near = difflib.get_close_matches(text, known, n=1, cutoff=0.0)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return ProblemError(f"unknown problem '{text:.80}'.{hint} {form}; there are {len(known)}.")


def _generated(judge: Judge, sizes: Mapping[str, int], public: int, seed: int) -> Shelf:
    def problems(split: Split) -> Sequence[CodeProblem]:
        return verified(judge, mini.chosen(split, sizes[split], seed), public)

    def problem(text: str) -> CodeProblem:
        if text not in mini.compositions():
            raise _unknown(text, mini.compositions(), f"{_FORM}: {', '.join(get_args(Verb))}")
        return verified(judge, (text,), public)[0]

    return Shelf(problems, problem, lambda: ())


@functools.lru_cache(maxsize=64)
def verified(judge: Judge, ids: tuple[str, ...], public: int) -> tuple[CodeProblem, ...]:
    """Generated problems, each run in the sandbox: the canonical pair passes every test, neither half passes any.

    Raises ConfigError for one that does not, which would be a mistake of this package.
    """
    problems = tuple(mini.posed(id, public) for id in ids)
    bundles = [problems[start : start + _BUNDLE] for start in range(0, len(problems), _BUNDLE)]
    reports = judge.sandbox.run([_bundle(bundle) for bundle in bundles])
    for bundle, report in zip(bundles, reports, strict=True):
        _in_time(judge, report)
        answers = iter(report.results)
        for problem in bundle:
            for case in problem.tests:
                whole, without, by = (_right(next(answers, None), case.expected) for _ in range(3))
                if not whole or without or by:
                    raise ConfigError(f"the generated problem '{problem.id}' fails its own test {case.text}.")
    return problems


def _in_time(judge: Judge, report: Report) -> None:
    """Raises ConfigError if verifying took too long, which says nothing about the problems."""
    for found in (report.error, *report.results):
        if isinstance(found, Stopped) and found.reason == "time":
            limits = judge.limits
            raise ConfigError(
                f"no time to verify the generated problems: one process used up its {limits.cpu_seconds} s of processor "
                f"or {limits.seconds:g} s of the clock. Set task.cpu_seconds and task.seconds higher, or try again "
                "when the machine is less busy."
            )


def _bundle(problems: Sequence[CodeProblem]) -> Job:
    """One job that runs every test of these problems on the canonical pair and on each half alone."""
    sources: list[str] = []
    calls = []
    for problem in problems:
        program = assemble(problem, (problem.aux, problem.main))
        first = len(sources)
        sources += [program.source, program.without_helper, program.helper_alone]
        for case in problem.tests:
            arguments = case.arguments or ()
            calls += [Call("run", (first + which, problem.entry_point, *arguments)) for which in range(3)]
    return Job(_RUNNER.format(programs=sources), tuple(calls))


def _right(result: object, expected: object) -> bool:
    return isinstance(result, Returned) and same(result.value, [expected])
