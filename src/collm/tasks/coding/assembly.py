"""From the agents' responses to a program: which functions there are, and what can be read off them without running."""

from __future__ import annotations

import ast
import dataclasses
import functools
from collections.abc import Iterator

from collm.tasks.coding import stubs
from collm.tasks.coding.extraction import FunctionNode, Piece, Pieces, extract, own_nodes
from collm.tasks.coding.problems import AUX, CodeProblem
from collm.tasks.protocol import JointAction


@dataclasses.dataclass(frozen=True)
class Program:
    """The two functions of a joint action and everything that belongs to them."""

    entry_point: str
    preamble: str
    parts: tuple[Pieces, ...]
    """What each response adds, agent by agent."""

    @functools.cached_property
    def aux(self) -> Piece | None:
        return next((found for part in self.parts if (found := part.function(AUX))), None)

    @functools.cached_property
    def main(self) -> Piece | None:
        return next((found for part in self.parts if (found := part.function(self.entry_point))), None)

    @functools.cached_property
    def errors(self) -> dict[str, str]:
        """Function → why it does not parse."""
        named = {AUX: self.aux, self.entry_point: self.main}
        return {name: piece.error for name, piece in named.items() if piece is not None and piece.error is not None}

    @property
    def source(self) -> str:
        """The program; pieces that do not parse are left out."""
        return self._source(self.parts)

    @property
    def without_helper(self) -> str:
        """The program with a helper that returns nothing."""
        return self._source(tuple(part.replaced(AUX, stubs.NOTHING) for part in self.parts))

    @property
    def helper_alone(self) -> str:
        """The program with a main function that hands its arguments to the helper and returns what that returns."""
        through = stubs.THROUGH.format(self.entry_point)
        return self._source(tuple(part.replaced(self.entry_point, through) for part in self.parts))

    @property
    def with_same(self) -> str:
        """The program with a helper that returns its first argument."""
        return self._source(tuple(part.replaced(AUX, stubs.SAME) for part in self.parts))

    @property
    def with_constant(self) -> str:
        """The program with a helper that returns what it first returned during the call of the main function before."""
        return self.source + stubs.constant_helper(self.entry_point)

    @property
    def with_first(self) -> str:
        """The program with a main function that ends with what its first call of the helper returns."""
        return self.source + stubs.first_of_helper(self.entry_point)

    def _source(self, parts: tuple[Pieces, ...]) -> str:
        pieces = tuple(piece for part in parts for piece in part.pieces if piece.error is None)
        return "\n\n".join(filter(None, (self.preamble, Pieces(pieces).source))) + "\n"


def assemble(problem: CodeProblem, actions: JointAction) -> Program:
    """The program of one joint action: helper and main function from their own authors, or both from the only one.

    What a response binds under the partner's name is ignored. Never raises, whatever the text.
    """
    main = problem.entry_point
    if len(actions) == 1:
        return Program(main, problem.preamble, (extract(actions[0]).only(AUX).only(main),))
    helper = extract(actions[0]).without({main}).only(AUX)
    return Program(main, problem.preamble, (helper, extract(actions[1]).without({AUX}).only(main)))


@dataclasses.dataclass(frozen=True)
class Use:
    """How the main function uses the helper."""

    calls: bool = False
    thin: bool = False
    """It does nothing but hand over to the helper."""
    ignored: bool = False
    """The result of some call is thrown away."""


def use_of_helper(main: Piece | None) -> Use:
    """Read off the syntax tree of the main function."""
    node = main.node if main is not None else None
    if node is None:
        return Use()
    if _shadowed(node):
        return Use(thin=not _statements(node))
    calls = [inner for inner in ast.walk(node) if _is_call(inner)]
    ignored = any(isinstance(inner, ast.Expr) and _is_call(inner.value) for inner in ast.walk(node))
    return Use(bool(calls), _is_thin(_statements(node)), ignored)


def _is_call(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == AUX


def _shadowed(function: FunctionNode) -> bool:
    """Whether the name of the helper means something else inside the function."""
    return any(name == AUX for node in own_nodes(function) for name in _binds(node))


def _binds(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, (FunctionNode, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.alias):
        yield node.asname or node.name.partition(".")[0]


def _statements(function: FunctionNode) -> list[ast.stmt]:
    """The body without docstrings."""
    return [
        statement
        for statement in function.body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]


def _is_thin(body: list[ast.stmt]) -> bool:
    """Nothing; one return that mentions the helper; or ``v = aux(…)`` and ``return v`` (TASKS 4.2)."""
    if not body:
        return True
    last = body[-1]
    if not isinstance(last, ast.Return):
        return False
    if len(body) == 1:
        return any(isinstance(node, ast.Name) and node.id == AUX for node in ast.walk(last))
    first = body[0]
    if len(body) != 2 or not isinstance(last.value, ast.Name) or not isinstance(first, (ast.Assign, ast.AnnAssign)):
        return False
    targets = first.targets if isinstance(first, ast.Assign) else [first.target]
    return _is_call(first.value) and [getattr(t, "id", None) for t in targets] == [last.value.id]
