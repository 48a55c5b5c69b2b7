"""Histories that begin alike are read once: a packed pass over what is distinct (``models/packing.py``)."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from collm.models.packing import Packing
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


class Trie:
    """Token sequences, cut into pieces, with every distinct beginning once."""

    def __init__(self) -> None:
        self.levels: list[Level] = []
        self.rows: list[list[int]] = []
        """For each sequence the place of its piece in every level that it reaches."""
        self.cuts: list[list[int]] = []
        self.tokens = 0
        """Distinct tokens, those to be read."""
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
                self.tokens += len(piece)
            row, start = known[row, piece], end
            rows.append(row)
        self.rows.append(rows)
        self.cuts.append(list(cuts))

    def states(self, policy: Policy) -> torch.Tensor:
        """Last-layer states (tokens, width) of what is distinct; ``place`` says where a token is."""
        tokens = [token for level in self.levels for piece in level.pieces for token in piece]
        positions = [
            np.arange(start, start + len(piece))
            for level in self.levels
            for piece, start in zip(level.pieces, level.starts, strict=True)
        ]
        packing = Packing(
            [[len(piece) for piece in level.pieces] for level in self.levels],
            [level.parents for level in self.levels],
            policy.device,
        )
        return policy.hidden(
            torch.tensor([tokens], device=policy.device),
            position_ids=torch.from_numpy(np.concatenate(positions))[None].to(policy.device),
            attention_mask=packing.mask(),
        )[0]

    @functools.cached_property
    def _firsts(self) -> list[np.ndarray]:
        """(levels,) the place of each piece's first token."""
        sizes = [[len(piece) for piece in level.pieces] for level in self.levels]
        places = np.concatenate([[0], np.cumsum(np.concatenate(sizes))[:-1]])
        return np.split(places, np.cumsum([len(own) for own in sizes])[:-1])

    def place(self, sequence: int, positions: np.ndarray) -> np.ndarray:
        """Where the states of these positions of a sequence are, in ``states``."""
        ends = np.asarray(self.cuts[sequence])
        depth = np.searchsorted(ends, positions, side="right")
        first = np.array([own[row] for own, row in zip(self._firsts, self.rows[sequence], strict=False)])
        return first[depth] + positions - np.concatenate([[0], ends])[depth]


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
