"""The asserts of a check: what they are, and how each is made to report instead of ending the check."""

from __future__ import annotations

import ast
import dataclasses
import functools

from collm.errors import ProblemError
from collm.sandbox.inside.judge import RECORD


@dataclasses.dataclass(frozen=True)
class Assertion:
    """An assert of a check."""

    text: str
    """As written, without comments and line breaks."""
    is_trap: bool
    """``assert False``, which says that the line must not be reached."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a judge runs, and what its verdicts are about."""

    source: str
    """The check, in which every assert hands its outcome to ``RECORD`` and execution goes on behind it."""
    assertions: tuple[Assertion, ...]
    """In order of the source."""


@functools.lru_cache(maxsize=4096)
def plan(source: str) -> Plan:
    """Raises ``ProblemError`` if the source is not valid Python."""
    try:
        tree = ast.parse(source)
        found = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        found.sort(key=lambda node: (node.lineno, node.col_offset))
        assertions = tuple(Assertion(ast.unparse(node), _is_trap(node)) for node in found)
        numbers = {id(node): index for index, node in enumerate(found)}
        return Plan(ast.unparse(ast.fix_missing_locations(_Instrument(numbers).visit(tree))), assertions)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ProblemError(f"a check is not valid Python: {error}. It begins: {source[:60]!r}.") from None


def _is_trap(node: ast.Assert) -> bool:
    return isinstance(node.test, ast.Constant) and not node.test.value


class _Instrument(ast.NodeTransformer):
    def __init__(self, numbers: dict[int, int]):
        self._numbers = numbers

    def visit_Assert(self, node: ast.Assert) -> ast.Try:
        number = self._numbers[id(node)]
        pattern = ast.parse(
            f"try:\n    pass\nexcept BaseException as __error__:\n    {RECORD}({number}, __error__)\n"
            f"else:\n    {RECORD}({number}, None)"
        ).body[0]
        assert isinstance(pattern, ast.Try)
        pattern.body = [node]
        return pattern
