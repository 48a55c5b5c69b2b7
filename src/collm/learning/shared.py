"""Histories that begin alike are read once: one pass per turn over what is distinct, with the keys and values of what came
before taken from the pass before. Gradients flow through them, so states and gradients are those of separate passes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from collm.learning.batching import padded
from collm.models.policy import Policy

_ALIKE = 0.75
"""Of all tokens, at most this share may be distinct for a pass over distinct ones."""


@dataclasses.dataclass(frozen=True)
class Level:
    """The distinct pieces at one place of the order, each behind one piece of the level before."""

    pieces: list[tuple[int, ...]]
    parents: list[int]
    starts: list[int]
    """Position of each piece's first token in its history."""

    @property
    def width(self) -> int:
        return max(map(len, self.pieces))


class Trie:
    """Token sequences, cut into pieces, with every distinct beginning once."""

    def __init__(self) -> None:
        self.levels: list[Level] = []
        self.rows: list[list[int]] = []
        """For each sequence the place of its piece in every level that it reaches."""
        self.cuts: list[list[int]] = []
        self._known: list[dict[tuple[int, tuple[int, ...]], int]] = []

    def add(self, sequence: Sequence[int], cuts: Sequence[int]) -> None:
        """Take in a sequence whose pieces end at ``cuts``; the last is its length."""
        row, start, rows = -1, 0, []
        for depth, end in enumerate(cuts):
            if depth == len(self.levels):
                self.levels.append(Level([], [], []))
                self._known.append({})
            piece, level, known = tuple(sequence[start:end]), self.levels[depth], self._known[depth]
            if (row, piece) not in known:
                known[row, piece] = len(level.pieces)
                level.pieces.append(piece)
                level.parents.append(row)
                level.starts.append(start)
            row, start = known[row, piece], end
            rows.append(row)
        self.rows.append(rows)
        self.cuts.append(list(cuts))

    @property
    def tokens(self) -> int:
        """Tokens to be read, padding included."""
        return sum(len(level.pieces) * level.width for level in self.levels)

    def states(self, policy: Policy) -> torch.Tensor:
        """Last-layer states (places, width) of all levels, one behind the other; ``place`` says where a token is."""
        past: list[Any] = []
        seen: torch.Tensor | None = None
        found = []
        for level in self.levels:
            tokens = padded(level.pieces, policy.pad_id, policy.device)
            device = tokens.device
            sizes = torch.tensor([len(piece) for piece in level.pieces], device=device)
            steps = torch.arange(level.width, device=device)
            own = (steps[None, :] < sizes[:, None])[:, None]
            mask = own & (steps[None, :] <= steps[:, None])
            if seen is not None:
                parents = torch.tensor(level.parents, device=device)
                seen = seen[parents]
                past = [tuple(one[parents] for one in layer) for layer in past]
                mask = torch.cat([seen[:, None].expand(-1, level.width, -1), mask], 2)
            # A piece's padding sees itself, because a row of nothing but −∞ has no softmax.
            mask = mask | torch.nn.functional.pad(torch.eye(level.width, dtype=torch.bool, device=device), _left(mask))
            cache = _Growing(past, policy.layers)
            found.append(
                policy.base.hidden(
                    policy.adapter,
                    input_ids=tokens,
                    position_ids=torch.tensor(level.starts, device=device)[:, None] + steps,
                    attention_mask=mask[:, None],
                    past_key_values=cache,
                    use_cache=True,
                ).flatten(0, 1)
            )
            past = cache.grown
            seen = own[:, 0] if seen is None else torch.cat([seen, own[:, 0]], 1)
        return torch.cat(found)

    def place(self, sequence: int, positions: np.ndarray) -> np.ndarray:
        """Where the states of these positions of a sequence are, in ``states``."""
        ends = np.asarray(self.cuts[sequence])
        depth = np.searchsorted(ends, positions, side="right")
        widths = np.array([level.width for level in self.levels])
        first = np.concatenate([[0], np.cumsum([len(level.pieces) * level.width for level in self.levels])])
        rows, starts = np.asarray(self.rows[sequence]), np.concatenate([[0], ends])
        return first[depth] + rows[depth] * widths[depth] + positions - starts[depth]


def grown(sequences: Sequence[Sequence[int]], cuts: Sequence[Sequence[int]]) -> Trie:
    """The trie of these sequences."""
    trie = Trie()
    for sequence, ends in zip(sequences, cuts, strict=True):
        trie.add(sequence, ends)
    return trie


def worth_sharing(sequences: Sequence[Sequence[int]], cuts: Sequence[Sequence[int]]) -> bool:
    """Whether reading what is distinct is a good deal less than reading everything."""
    distinct = len({tuple(sequence[: ends[0]]) for sequence, ends in zip(sequences, cuts, strict=True)})
    if distinct > _ALIKE * len(sequences):
        return False
    return grown(sequences, cuts).tokens <= _ALIKE * sum(map(len, sequences))


def alike(sequences: Sequence[Sequence[int]], cuts: Sequence[Sequence[int]], token_budget: int) -> Iterator[list[int]]:
    """Groups of sequence indices whose distinct tokens are within the budget (at least one each); those that begin alike
    stay together as far as it allows."""
    families: dict[tuple[int, ...], list[int]] = {}
    for index, (sequence, ends) in enumerate(zip(sequences, cuts, strict=True)):
        families.setdefault(tuple(sequence[: ends[0]]), []).append(index)
    group: list[int] = []
    trie = Trie()
    for index in itertools.chain.from_iterable(families.values()):
        trie.add(sequences[index], cuts[index])
        if group and trie.tokens > token_budget:
            yield group
            group, trie = [], grown([sequences[index]], [cuts[index]])
        group.append(index)
    if group:
        yield group


def _left(mask: torch.Tensor) -> tuple[int, int]:
    """How far a square must be padded on the left to be as wide as a mask."""
    return mask.shape[2] - mask.shape[1], 0


class _GrowingLayer(CacheLayerMixin):
    """Keys and values of what came before, and of what is read now."""

    def __init__(self, past: Any) -> None:
        super().__init__()
        self.past = past
        self.grown: Any = None
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: there is no room to be made."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.past is None:
            self.grown = key_states, value_states
        else:
            self.grown = torch.cat([self.past[0], key_states], 2), torch.cat([self.past[1], value_states], 2)
        return self.grown

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return 0 if self.past is None else int(self.past[0].shape[2])

    def get_max_length(self) -> int:
        return -1

    get_max_cache_shape = get_max_length


class _Growing(Cache):
    """The layers of one pass."""

    def __init__(self, past: Sequence[Any], layers: int) -> None:
        super().__init__(layers=[_GrowingLayer(past[place] if past else None) for place in range(layers)])

    @property
    def grown(self) -> list[Any]:
        """(layers,) keys and values up to and including this pass."""
        return [layer.grown for layer in self.layers]
