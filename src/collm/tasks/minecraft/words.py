"""Where StrBuild's words come from: generated ones with disjoint splits, the released ones, or the user's own."""

from __future__ import annotations

import csv
import functools
from importlib.resources import files

from collm.randomness import generator
from collm.tasks import splits
from collm.tasks.minecraft.font import LETTERS
from collm.tasks.protocol import Split

_DRAWS_PER_WORD = 400
_DRAWS_PER_EXISTING_WORD = 40
RELEASED_TRAIN = 8
"""The released configuration trains on the first eight strings and evaluates on the last two."""


@functools.cache
def released_words() -> tuple[str, ...]:
    """The ten strings of the released environment, in file order."""
    text = files("collm.tasks.minecraft").joinpath("data/released_words.csv").read_text()
    return tuple(row["string"] for row in csv.DictReader(text.splitlines()))


def split_of(word: str) -> Split | None:
    """The split a generated word belongs to, whatever the seed or size: three, one and one fifths of all words.

    None for the released words, which form a split of their own.
    """
    if word in released_words():
        return None
    return splits.split_of("str-build", word)


@functools.cache
def generated_words(split: Split, lengths: tuple[int, int], count: int, seed: int) -> tuple[str, ...]:
    """Up to ``count`` distinct words of a split, in an order that depends on the seed.

    ``lengths`` are the least and the greatest number of letters. Fewer words come back where fewer exist.
    """
    random = generator("str-build words", split, lengths[0], lengths[1], seed)
    found: dict[str, None] = {}
    # Asking for more words than exist would otherwise draw for minutes.
    existing = sum(len(LETTERS) ** length for length in range(lengths[0], lengths[1] + 1))
    for _ in range(min(_DRAWS_PER_WORD * count, _DRAWS_PER_EXISTING_WORD * existing)):
        if len(found) == count:
            break
        length = int(random.integers(lengths[0], lengths[1] + 1))
        word = "".join(LETTERS[i] for i in random.integers(0, len(LETTERS), length))
        if split_of(word) == split:
            found[word] = None
    return tuple(found)
