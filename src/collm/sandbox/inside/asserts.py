"""The asserts of a check: what they are, and how each is made to report instead of ending the check."""

from __future__ import annotations

import ast

RECORD = "__record__"
"""Name under which instrumented code finds ``record(index, error or None)``."""


def find(tree: ast.Module) -> list[ast.Assert]:
    """All asserts in order of the source."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def is_trap(node: ast.Assert) -> bool:
    """True for ``assert False``: it says that this line must not be reached."""
    return isinstance(node.test, ast.Constant) and not node.test.value


def instrument(tree: ast.Module) -> ast.Module:
    """The same program in which every assert hands its outcome to ``RECORD`` and execution goes on behind it."""
    numbers = {id(node): index for index, node in enumerate(find(tree))}
    return ast.fix_missing_locations(_Instrument(numbers).visit(tree))


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
        for part in ast.walk(pattern):
            ast.copy_location(part, node)
        pattern.body = [node]
        return pattern
