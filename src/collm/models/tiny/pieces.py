"""Which pieces of text deserve a token: phrases that recur word for word, and words that recur in many phrases."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping

Words = tuple[str, ...]
"""A chunk of text, or a piece of one, as its words."""

_WORD = re.compile(r"\s*\w+|\s*[^\w\s]+|\s+")
_MERGES_PER_ROUND = 200
_SURPLUS = 3
"""Pieces that are tried for each one that is kept."""
_LEAST_USES = 2
_SHRINK = 0.75


def choose_pieces(chunks: Mapping[str, int], size: int) -> list[str]:
    """At most ``size`` pieces of two or more characters that spell a corpus in few tokens, most used first.

    ``chunks`` are the parts of the corpus, with counts; no piece reaches over the end of one. Words are joined to phrases,
    the most frequent neighbours first, far beyond what is asked for; then the pieces that save least are dropped, until
    enough are left.
    """
    corpus = {tuple(_WORD.findall(chunk)): count for chunk, count in chunks.items()}
    pieces = _grown(corpus, _SURPLUS * size)
    while True:
        uses = _uses(corpus, pieces)
        worth = {piece: uses[piece] * _saved(piece) for piece in pieces if uses[piece] >= _LEAST_USES and _saved(piece)}
        ranked = sorted(worth, key=lambda piece: (-worth[piece], piece))
        if len(ranked) <= size:
            uses = _uses(corpus, set(ranked))
            return ["".join(piece) for piece in sorted(ranked, key=lambda piece: (-uses[piece], piece))]
        pieces = set(ranked[: max(size, int(_SHRINK * len(ranked)))])


def _grown(corpus: Mapping[Words, int], size: int) -> set[Words]:
    """All words, and phrases made of frequent neighbours, until there are ``size`` of them or nothing recurs."""
    spelled: list[tuple[list[Words], int]] = [([(word,) for word in words], count) for words, count in corpus.items()]
    pieces = {piece for spelling, _ in spelled for piece in spelling}
    size += len(pieces)
    while len(pieces) < size:
        pairs: Counter[tuple[Words, Words]] = Counter()
        for spelling, count in spelled:
            for pair in itertools.pairwise(spelling):
                pairs[pair] += count
        frequent = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:_MERGES_PER_ROUND]
        joined = {pair for pair, count in frequent if count >= _LEAST_USES}
        if not joined:
            break
        spelled = [(_joined(spelling, joined), count) for spelling, count in spelled]
        pieces |= {one + other for one, other in joined}
    return pieces


def _joined(spelling: list[Words], pairs: set[tuple[Words, Words]]) -> list[Words]:
    """The spelling with these neighbours joined, from left to right."""
    found: list[Words] = []
    for piece in spelling:
        if found and (found[-1], piece) in pairs:
            found[-1] = found[-1] + piece
        else:
            found.append(piece)
    return found


def _uses(corpus: Mapping[Words, int], pieces: set[Words]) -> Counter[Words]:
    """How often each piece is used when the longest one that fits is always taken."""
    longest = max(map(len, pieces), default=1)
    uses: Counter[Words] = Counter()
    for words, count in corpus.items():
        start = 0
        while start < len(words):
            width = min(longest, len(words) - start)
            while width > 1 and words[start : start + width] not in pieces:
                width -= 1
            uses[words[start : start + width]] += count
            start += width
    return uses


def _saved(piece: Words) -> int:
    """Tokens that one use of a piece saves: without it, a phrase falls into two and a word into its characters."""
    return 1 if len(piece) > 1 else len(piece[0]) - 1
