"""A coding problem: what the agents are shown, what a program is tested with, and a solution that passes."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any

from collm.tasks.protocol import Problem

AUX = "aux"
"""The name of the helper function."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One test: a call whose result must equal ``expected``, or an assert that only the check's source can judge."""

    text: str
    """As people and models see it: ``total([3, 4]) == 4``."""
    arguments: tuple[Any, ...] | None = None
    """The arguments of the call; None where the assert needs the check around it."""
    expected: Any = None
    index: int = 0
    """Its number among the asserts of the check."""


@dataclasses.dataclass(frozen=True)
class CodeProblem(Problem):
    """One problem: a function to write, with the help of another one."""

    entry_point: str
    prompt: str
    """Signature and docstring of the function to write, and whatever stands before it."""
    public: tuple[Case, ...]
    """Tests that feedback may show."""
    held_out: tuple[Case, ...]
    """Tests that score."""
    preamble: str = ""
    """Imports and definitions of the prompt; every program begins with it."""
    check: str = ""
    """The source of the check, if some test needs it."""
    aux: str = ""
    """The canonical helper function, where there is one."""
    main: str = ""
    """The canonical function, where there is one."""

    @property
    def tests(self) -> tuple[Case, ...]:
        return (*self.public, *self.held_out)

    @property
    def parameters(self) -> str:
        """The parameter list of the function to write, as in its prompt."""
        return signature(self.prompt, self.entry_point)


def signature(prompt: str, entry_point: str) -> str:
    """The parameters of a function in a prompt whose body may be missing; ``...`` if it cannot be found."""
    for ending in ("", "\n    pass\n"):
        try:
            tree = ast.parse(prompt + ending)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == entry_point:
                return ast.unparse(node.args)
    return "..."
