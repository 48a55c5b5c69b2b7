"""Token sequences packed into one, what several begin with once: everything but attention reads them as one sequence.

The pieces of sequences are laid out level by level; each continues a piece of the level before and sees it, what that one
saw, and itself up to every token. Attention goes through the levels with the keys and values of what came before, and
gradients flow through these, so states and gradients are those of separate passes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""Queries (pieces, heads, width, size), keys and values (pieces, key heads, seen, size), a mask → (pieces, width, heads,
size)."""


@dataclasses.dataclass(frozen=True)
class Level:
    """Pieces of one place of the order. In the padded grid of a level each piece has a row as wide as the longest."""

    first: int
    """Place of the level's first token."""
    lengths: Sequence[int]
    """Tokens of each piece."""
    parents: torch.Tensor | None
    """(pieces,): the piece of the level before that each one continues; None where they begin."""
    cells: torch.Tensor | None
    """(tokens,): the cell of the grid, row after row, that each token is in; None if there is no padding."""
    mask: torch.Tensor | None
    """(pieces, 1, width, seen and width): where attention is allowed, on a processor ``additive``; None if each piece sees
    itself only, causally."""

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    @property
    def width(self) -> int:
        return max(self.lengths)

    def grid(self, states: torch.Tensor) -> torch.Tensor:
        """(tokens of all levels, heads, size) → (pieces, heads, width, size)."""
        own = states[self.first : self.first + self.tokens]
        if self.cells is not None:
            own = _Spread.apply(own, self.cells, len(self.lengths) * self.width)
        return own.unflatten(0, (len(self.lengths), self.width)).transpose(1, 2)

    def flat(self, grid: torch.Tensor) -> torch.Tensor:
        """(pieces, width, heads, size) → (tokens of the level, heads, size)."""
        rows = grid.flatten(0, 1)
        return rows if self.cells is None else _Collected.apply(rows, self.cells)


class Packing:
    """Which of the packed tokens sees which."""

    def __init__(
        self, lengths: Sequence[Sequence[int]], parents: Sequence[Sequence[int]], device: torch.device
    ) -> None:
        """``lengths`` has the tokens of every piece level by level, ``parents`` the place of what it continues in the level
        before."""
        self.levels: list[Level] = []
        self.device = device
        first, seen = 0, torch.zeros(0, 0, dtype=torch.bool)
        for own, origin in zip(lengths, parents, strict=True):
            begins = not self.levels
            width, sizes = max(own), torch.tensor(own)
            steps = torch.arange(width)
            there = steps < sizes[:, None]
            ragged = not bool(there.all())
            before = there[:, :0] if begins else seen[torch.tensor(origin)]
            self.levels.append(
                Level(
                    first,
                    own,
                    None if begins else torch.tensor(origin, device=device),
                    there.flatten().nonzero()[:, 0].to(device) if ragged else None,
                    None if begins else _mask(before, there, device),
                )
            )
            first += sum(own)
            seen = torch.cat([before, there], 1)

    def mask(self) -> torch.Tensor:
        """What goes through the library's model as attention mask: one that it hands on as it is, with this object."""
        carrier: Any = torch.zeros(1, 1, 1, 1, device=self.device)
        carrier.packing = self
        found: torch.Tensor = carrier
        return found

    def attention(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attend: Attend) -> torch.Tensor:
        """Query (1, heads, tokens, size), key and value (1, key heads, tokens, size) → (1, tokens, heads, size)."""
        queries, keys, values = (each[0].transpose(0, 1) for each in (query, key, value))
        found = []
        past: tuple[torch.Tensor, torch.Tensor] | None = None
        for level in self.levels:
            own = level.grid(keys), level.grid(values)
            if past is not None:
                assert level.parents is not None
                before = (each.index_select(0, level.parents) for each in past)
                own = tuple(torch.cat(both, 2) for both in zip(before, own, strict=True))  # type: ignore[assignment]
            found.append(level.flat(attend(level.grid(queries), *own, level.mask)))
            past = own
        return torch.cat(found)[None]


def packing_of(mask: torch.Tensor | None) -> Packing | None:
    """The packing that an attention mask carries, if any."""
    return getattr(mask, "packing", None)


def additive(mask: torch.Tensor) -> torch.Tensor:
    """What is added to scores: 0 where attention is allowed, elsewhere a number so low that a query which may see nothing
    stays one. Masks of numbers are such already."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, torch.finfo(torch.bfloat16).min)


def _mask(before: torch.Tensor, there: torch.Tensor, device: torch.device) -> torch.Tensor:
    """(pieces, 1, width, seen and width). Padding sees itself, because a row that sees nothing has no softmax."""
    pieces, width = there.shape
    own = torch.ones(width, width, dtype=torch.bool).tril() & there[:, None]
    own |= torch.eye(width, dtype=torch.bool)
    found = torch.cat([before[:, None].expand(pieces, width, -1), own], 2)[:, None]
    return additive(found) if device.type == "cpu" else found.to(device)


class _Spread(torch.autograd.Function):
    """Rows go to these cells of a grid, whose other cells are zero."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, cells: torch.Tensor, size: int) -> torch.Tensor:
        ctx.save_for_backward(cells)
        return _spread(rows, cells, size)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (cells,) = ctx.saved_tensors
        return grad[cells], None, None


class _Collected(torch.autograd.Function):
    """The rows in these cells of a grid."""

    @staticmethod
    def forward(ctx: Any, grid: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cells)
        ctx.size = len(grid)
        return grid[cells]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (cells,) = ctx.saved_tensors
        return _spread(grad, cells, ctx.size), None


def _spread(rows: torch.Tensor, cells: torch.Tensor, size: int) -> torch.Tensor:
    grid = rows.new_zeros(size, *rows.shape[1:])
    grid[cells] = rows
    return grid
