"""Taking functions out of a response: whatever parses is kept, whatever does not loses nothing but itself.

Everything at the top level that defines something is a piece: functions, classes, imports, constants. A response that
does not parse as a whole is read block by block, so prose, fences and a broken function leave the other pieces alone.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import textwrap
import warnings
from collections.abc import Collection, Iterator

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

MAX_CHARACTERS = 20_000
"""A response is read up to here."""
_MAX_PARSED = 20 * MAX_CHARACTERS
"""Characters that the reading block by block may parse in all, so that no text takes long."""
_MAX_ENDS = 24
"""Ends that are tried for one block."""

_FENCE = re.compile(r"(?:```+|~~~+)(?:[Pp]ython3?|py)?")
_DEFINITION = re.compile(r"([ \t]*)(?:async[ \t]+)?(def|class)[ \t]+(\w+)")
_STARTS = re.compile(r"[ \t]*(?:@\w|(?:async[ \t]+)?def[ \t]|class[ \t])")
_STATEMENT = re.compile(r"(?:import|from)[ \t]|[A-Za-z_][\w, \t]*(?::[^=]+)?=(?!=)")
_RETURN_LINE = re.compile(r"^[ \t]+(?:.*:[ \t]*)?return\b", re.MULTILINE)
_CLOSING = tuple(")]}")


@dataclasses.dataclass(frozen=True)
class Piece:
    """One top-level statement of a response that defines something."""

    names: tuple[str, ...]
    """What it binds."""
    source: str
    is_function: bool = False
    error: str | None = None
    """Why a function does not parse."""

    @property
    def node(self) -> FunctionNode | None:
        """The function's syntax tree; None for other pieces and for functions that do not parse."""
        tree = parse(self.source) if self.is_function and self.error is None else None
        found = tree.body[0] if tree is not None and tree.body else None
        return found if isinstance(found, FunctionNode) else None

    @property
    def returns(self) -> bool:
        """Whether a function has a return statement of its own; one that does not parse, a line that begins with one."""
        node = self.node
        if node is None:
            return self.is_function and _RETURN_LINE.search(self.source) is not None
        return any(isinstance(inner, ast.Return) for inner in own_nodes(node))


@dataclasses.dataclass(frozen=True)
class Pieces:
    """What a response defines, in order."""

    pieces: tuple[Piece, ...] = ()

    def function(self, name: str) -> Piece | None:
        """The last function of this name, one that parses before one that does not."""
        named = [piece for piece in self.pieces if piece.is_function and name in piece.names]
        intact = [piece for piece in named if piece.error is None]
        return next(reversed(intact or named), None)

    def without(self, names: Collection[str]) -> Pieces:
        """Without anything that binds one of these names."""
        return Pieces(tuple(piece for piece in self.pieces if not set(piece.names) & set(names)))

    def replaced(self, name: str, source: str) -> Pieces:
        """With every function of this name replaced by another source."""
        return Pieces(
            tuple(
                Piece((name,), source, True) if piece.is_function and name in piece.names else piece
                for piece in self.pieces
            )
        )

    def only(self, name: str) -> Pieces:
        """With one function of this name: that of ``function``."""
        chosen = self.function(name)
        return Pieces(tuple(p for p in self.pieces if not (p.is_function and name in p.names) or p is chosen))

    @property
    def source(self) -> str:
        """The pieces as a program."""
        return "\n\n".join(piece.source for piece in self.pieces)


@functools.lru_cache(maxsize=1024)
def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None if there is none. Never raises."""
    tree, _ = parsed_or_error(source)
    return tree


def parsed_or_error(source: str) -> tuple[ast.Module | None, str | None]:
    """The syntax tree, or what is wrong with the source."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source), None
    except SyntaxError as error:
        return None, f"line {error.lineno or 1}, column {error.offset or 1}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return None, f"line 1, column 1: {str(error) or type(error).__name__}"


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """All nodes inside a function, without those of functions and classes inside it."""
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (FunctionNode, ast.Lambda, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(node))


@functools.lru_cache(maxsize=1024)
def extract(text: str) -> Pieces:
    """The top-level definitions of a response. Never raises, whatever the text."""
    text = text[:MAX_CHARACTERS].replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")
    text = _FENCE.sub("\n", text).replace("\f", "").replace("\ufeff", "")
    text = textwrap.dedent(text)
    tree = parse(text)
    found = _statements(tree, text) if tree is not None else _blocks(text.split("\n"))
    defined = {name for piece in found if piece.is_function for name in piece.names}
    return Pieces(tuple(piece for piece in found if piece.is_function or not _calls(piece.source, defined)))


def _statements(tree: ast.Module, text: str) -> list[Piece]:
    """The defining statements of a tree, with their sources."""
    lines = text.split("\n")
    found = []
    for node in tree.body:
        names = _bound(node)
        if names:
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
            source = "\n".join(lines[first - 1 : node.end_lineno])
            found.append(Piece(names, _alone(source, node), isinstance(node, FunctionNode)))
    return found


def _alone(source: str, node: ast.stmt) -> str:
    """The statement without others on its lines (``import a; import b``)."""
    tree = parse(source)
    return source if tree is not None and len(tree.body) == 1 else _unparsed(node)


def _unparsed(node: ast.stmt) -> str:
    try:
        return ast.unparse(node)
    except RecursionError:
        return "pass"


def _bound(node: ast.stmt) -> tuple[str, ...]:
    """The names that a top-level statement defines; none for statements that are not kept."""
    if isinstance(node, (FunctionNode, ast.ClassDef)):
        return (node.name,)
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return tuple(alias.asname or alias.name.partition(".")[0] for alias in node.names)
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    else:
        return ()
    return tuple(name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))


def _calls(source: str, names: Collection[str]) -> bool:
    """Whether a statement calls one of these functions: an example of their use, not a constant."""
    tree = parse(source)
    return tree is not None and any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
        for node in ast.walk(tree)
        if not isinstance(tree.body[0], ast.ClassDef)
    )


def _blocks(lines: list[str]) -> list[Piece]:
    """The defining blocks of a text that does not parse as a whole."""
    budget = _MAX_PARSED
    found: list[Piece] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        if not (_STARTS.match(line) or _STATEMENT.match(line)):
            index += 1
            continue
        pieces, stop, spent = _block(lines, index, budget)
        budget -= spent
        found += pieces
        index = stop
    return found


def _block(lines: list[str], start: int, budget: int) -> tuple[list[Piece], int, int]:
    """The pieces of the block that begins here, the line behind it, and the characters that were parsed."""
    spent = 0
    ends = list(_ends(lines, start))
    for stop in ends:
        source = textwrap.dedent("\n".join(lines[start:stop])).strip("\n")
        spent += len(source)
        if spent > budget:
            break
        tree = parse(source)
        if tree is not None:
            return _statements(tree, source), stop, spent
    return _broken(lines, start, ends[0]), ends[0], spent


def _ends(lines: list[str], start: int) -> Iterator[int]:
    """Where a block may end, the likeliest first: before the first line that is not deeper, then later such lines."""
    depth = _depth(lines[start])
    stop = start + 1
    tried = 0
    headed = not lines[start].lstrip().startswith("@")
    while stop <= len(lines) and tried < _MAX_ENDS:
        line = lines[stop] if stop < len(lines) else None
        starts = line is not None and _STARTS.match(line) is not None and _depth(line) <= depth
        if line is not None and starts and not headed:
            headed = not line.lstrip().startswith("@")
        elif line is None or (line.strip() and _depth(line) <= depth and not line.lstrip().startswith(_CLOSING)):
            yield stop
            tried += 1
            if starts:
                return
        stop += 1


def _depth(line: str) -> int:
    expanded = line.expandtabs()
    return len(expanded) - len(expanded.lstrip())


def _broken(lines: list[str], start: int, stop: int) -> list[Piece]:
    """A function that does not parse is a piece that says so; anything else that does not parse is nothing."""
    source = textwrap.dedent("\n".join(lines[start:stop])).strip("\n")
    for line in source.split("\n"):
        head = _DEFINITION.match(line)
        if head and head[2] == "def" and not head[1]:
            _, error = parsed_or_error(source)
            return [Piece((head[3],), source, True, error or "line 1, column 1: too long to read")]
    return []
