"""Writing the two functions of a generated problem in the conventions that programmers use for such a helper."""

from __future__ import annotations

from typing import Literal

from collm.tasks.coding.parts import Step
from collm.tasks.coding.problems import AUX

Convention = Literal["item", "list"]
"""What the helper gets: one item at a time, or all of them."""
CONVENTIONS: tuple[Convention, ...] = ("item", "list")

_LISTS = {
    "keep": "[x for x in xs if {}]",
    "map": "[{} for x in xs]",
    "sort": "sorted(xs, key=lambda x: {})",
}


def arguments(step: Step, convention: Convention, swapped: bool = False) -> str:
    """What the helper is given, in the usual order or the other one."""
    names = ["a", "x"] if step.verb == "fold" else ["x"]
    if convention == "list":
        names = ["xs"]
    if step.parameter:
        names.append("n")
    return ", ".join(reversed(names) if swapped else names)


def aux(step: Step, convention: Convention, swapped: bool = False, expression: str | None = None) -> str:
    """The helper function; ``expression`` stands for a mistake in place of the step's own."""
    expression = expression or step.expression
    head = f"def {AUX}({arguments(step, convention, swapped)}):"
    if convention == "item":
        return f"{head}\n    return {expression}"
    if step.verb == "fold":
        return f"{head}\n    a = 0\n    for x in xs:\n        a = {expression}\n    return a"
    return f"{head}\n    return {_LISTS[step.verb].format(expression)}"


def parameters(step: Step) -> str:
    """The parameters of the main function."""
    return "xs, n" if step.parameter else "xs"


def listed(step: Step, convention: Convention, swapped: bool = False) -> str:
    """The expression by which the main function gets its list from the helper."""
    call = f"{AUX}({arguments(step, convention, swapped)})"
    if convention == "list":
        return call
    return _LISTS[step.verb].format(call)


def alone(step: Step) -> str:
    """The expression by which the main function gets its list without the helper."""
    return _LISTS[step.verb].format(step.expression)


def body(step: Step, name: str, convention: Convention | None, finish: str, swapped: bool = False) -> str:
    """The main function in two steps: first the helper's part, then the finish. Without a convention it needs no helper."""
    head = f"def {name}({parameters(step)}):"
    if step.verb != "fold":
        made = alone(step) if convention is None else listed(step, convention, swapped)
        return f"{head}\n    ys = {made}\n    return {finish}"
    if convention == "list":
        return f"{head}\n    a = {AUX}({arguments(step, convention, swapped)})\n    return {finish}"
    made = step.expression if convention is None else f"{AUX}({arguments(step, convention, swapped)})"
    return f"{head}\n    a = 0\n    for x in xs:\n        a = {made}\n    return {finish}"


def one_line(step: Step, name: str, convention: Convention, finish: str, swapped: bool = False) -> str:
    """The main function as a single return; a fold that calls the helper item by item does not fit one."""
    made = listed(step, convention, swapped)
    value = finish.replace("len(ys)", "len(_)").replace("ys", made).replace("_", made, 1)
    return f"def {name}({parameters(step)}):\n    return {value}"
