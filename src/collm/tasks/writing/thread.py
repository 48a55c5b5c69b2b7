"""How a text goes through its source: what of it is copied, and whether its words belong together.

A *thread* is the words of a text that say something, in order: no stop words, no transition words. Of a text about a source
only the words of the source's own thread count, so that nothing strewn in between hides what was taken.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence

from collm.tasks.writing import lexicon

RUN = 4
"""Thread words in a row that are a copy when they stand in the source like this."""
FEWEST_RUNS = 6
"""A text with fewer runs is judged as if it had so many, since a short one may well quote a phrase."""
_NEIGHBOURHOOD = 10


@dataclasses.dataclass(frozen=True)
class Source:
    """What a text is compared with."""

    thread: frozenset[str]
    runs: frozenset[tuple[str, ...]]
    near: frozenset[tuple[str, str]]
    """Pairs of words that stand within a tenth of the thread of each other, at least within two words."""


def grams(found: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """All runs of so many words."""
    return list(zip(*(found[start:] for start in range(size)), strict=False))


def thread(found: Sequence[str]) -> list[str]:
    """The words that say something, in order."""
    nothing = lexicon.stop_words() | lexicon.transition_words()
    return [word for word in found if word not in nothing]


@functools.lru_cache(maxsize=64)
def read(source: str) -> Source:
    """The thread of a source; the last ones are remembered, since many texts are about the same one."""
    words = thread(lexicon.words(source))
    reach = max(2, len(words) // _NEIGHBOURHOOD)
    near = {(word, other) for place, word in enumerate(words) for other in words[place : place + reach + 1]}
    return Source(frozenset(words), frozenset(grams(words, RUN)), frozenset(near | {pair[::-1] for pair in near}))


def follow(source: Source, found: Sequence[str]) -> tuple[float, float]:
    """The share of a text's runs that are copied; the share of its successive words that are near in the source.

    Without successive words nothing is out of place.
    """
    words = [word for word in thread(found) if word in source.thread]
    copied = sum(run in source.runs for run in grams(words, RUN))
    pairs = list(itertools.pairwise(words))
    ordered = sum(pair in source.near for pair in pairs) / len(pairs) if pairs else 1.0
    return copied / max(FEWEST_RUNS, len(words) - RUN + 1), ordered
