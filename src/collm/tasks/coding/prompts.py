"""The words CoopHE says to its agents."""

from __future__ import annotations

from collections.abc import Sequence

from collm.tasks.coding import said
from collm.tasks.coding.judge import Diagnosis
from collm.tasks.coding.outcome import MAXIMUM, Outcome
from collm.tasks.coding.problems import AUX, Case, CodeProblem

SYSTEM = "You write Python functions. Output only code: no fences, no text around it, no tests, no examples."
REVISE = "Revise your function. Output only its code."
REVISE_BOTH = "Revise your functions. Output only their code."


def helper_opening(problem: CodeProblem) -> str:
    """The user message of turn 0 for the agent that writes the helper."""
    return (
        "Write a helper function for this problem:\n"
        f"{problem.prompt.strip()}\n"
        "Your partner writes this function and may call your helper. You do not see each other's code.\n"
        f"Name it {AUX}; it should return useful data:\n"
        f"def {AUX}(...):"
    )


def main_opening(problem: CodeProblem) -> str:
    """The user message of turn 0 for the agent that writes the function."""
    return (
        "Solve this problem:\n"
        f"{problem.prompt.strip()}\n"
        f"Your partner writes a helper {AUX}(...) that you may call. You do not see each other's code.\n"
        f"Do not define {AUX}; use what it returns and write only this function:\n"
        f"def {problem.entry_point}({problem.parameters}):"
    )


def lone_opening(problem: CodeProblem) -> str:
    """The user message of turn 0 for one agent that writes both."""
    return (
        "Solve this problem with two functions:\n"
        f"{problem.prompt.strip()}\n"
        f"A helper that returns useful data, and this function, which calls it:\n"
        f"def {AUX}(...):\n"
        f"def {problem.entry_point}({problem.parameters}):"
    )


def turn_header(turn: int, turns: int) -> str:
    """The first line of a later observation; ``turn`` counts from 0."""
    return f"Turn {turn + 1} of {turns}."


def level_feedback(problem: CodeProblem, found: Diagnosis, about_main: bool) -> str:
    """What each level says of the last program: definitions, syntax, public tests, and to its author the use of aux."""
    outcome = found.outcome
    lines = [
        f"{AUX}: {_definition(outcome.aux_defined, outcome.aux_returns)}",
        f"{problem.entry_point}: {_definition(outcome.main_defined, outcome.main_returns)}",
        *(f"Syntax error in {name}, {said.line(error)}" for name, error in found.program.errors.items()),
    ]
    if not found.program.errors:
        lines.append("Syntax: ok")
    if problem.public:
        lines.append(f"Public tests: {outcome.public_passed} of {outcome.public_total} passed.")
        lines += failing(problem.public, found)
    if about_main:
        lines += _use(found)
    return "\n".join(lines)


def failing(cases: Sequence[Case], found: Diagnosis) -> list[str]:
    """The public tests that did not pass, and why."""
    return [
        f"Failed: {case.text}\nbecause {test.reason}"
        for case, test in zip(cases, found.tests, strict=True)
        if not test.passed
    ]


def _definition(defined: bool, returns: bool) -> str:
    return "missing" if not defined else "found" if returns else "found, without return"


def _use(found: Diagnosis) -> list[str]:
    """What the author of the main function hears about the helper."""
    outcome = found.outcome
    if not outcome.main_defined:
        return []
    if not outcome.calls_aux:
        return [f"You do not call {AUX}."]
    if outcome.thin:
        return [f"You only pass on what {AUX} returns: do more than that."]
    if outcome.ignores_aux:
        return [f"You ignore what {AUX} returns."]
    return [f"You use {AUX}."]


def compact_feedback(found: Diagnosis) -> str:
    """One short line per level."""
    outcome = found.outcome
    passed, total = outcome.public_passed, outcome.public_total
    tests = "all passed" if passed == total else "none passed" if not passed else f"{passed} of {total} passed"
    written = outcome.aux_returns and outcome.main_returns
    return "\n".join(
        [
            f"Definitions: {'ok' if written else 'not ok'}",
            f"Syntax: {'ok' if outcome.parses else 'not ok'}",
            f"Public tests: {tests}",
            f"Use of {AUX}: {'ok' if outcome.uses_aux and not outcome.thin else 'not ok'}",
        ]
    )


def passed_feedback(found: Diagnosis) -> str:
    """Whether every level that agents may know about was passed."""
    return "All levels passed." if _all_levels(found.outcome) else "Not all levels passed."


def _all_levels(outcome: Outcome) -> bool:
    levels = outcome.definitions + outcome.syntax + outcome.use + outcome.substance
    return levels == MAXIMUM - 1.0 and outcome.public_passed == outcome.public_total


def heard(mode: str, outcome: Outcome, about_main: bool) -> dict[str, float]:
    """What a kind of feedback tells of an outcome, in numbers; nothing of a kind without numbers or levels."""
    tests = {"public_pass_rate": outcome.public_passed / outcome.public_total} if outcome.public_total else {}
    if mode == "passed":
        return {"all_levels": float(_all_levels(outcome))}
    if mode == "level-passed":
        written, used = outcome.aux_returns and outcome.main_returns, outcome.uses_aux and not outcome.thin
        return {"definitions": float(written), "syntax": float(outcome.parses), "use": float(used), **tests}
    if mode != "level":
        return {}
    told = {"aux_returns": float(outcome.aux_returns), "main_returns": float(outcome.main_returns)}
    told |= {"syntax": float(outcome.parses), **tests}
    if about_main:
        told |= {"use": float(outcome.calls_aux and not outcome.thin and not outcome.ignores_aux)}
    return told


def edit_feedback(edit: str) -> str:
    """An expert's version of the agent's own function."""
    return f"An expert suggests:\n{said.well_formed(edit)}" if edit else "An expert has no suggestion."
