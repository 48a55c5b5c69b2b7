"""What two texts about a source are worth: every part of the released reward and of the hardened one.

One function returns all numbers; reward, metrics and logs read the same ones (reference: TASKS 0, 2.2 and 3.2).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from collm.tasks.writing import lexicon
from collm.tasks.writing.thread import follow, grams, read

STRUCTURE, LENGTH, VOCABULARY, TRANSITIONS, COHERENCE = 0.5, 1.0, 0.5, 0.4, 0.6
"""What the parts are worth at most; transitions reach 0.95 of theirs with all categories."""
NOMINAL = 3.0
"""The released maximum, to which the paper's scores are normalised."""
RECALL_ENOUGH = 0.5
"""Share of the source's content words from which on the hardened reward asks for no more."""
OWN_ENOUGH = 0.1
"""Share of a text's distinct words that have to be its own; with fewer it is a copy."""
WRITTEN, COPY = 0.6, 0.7
"""Share of copied runs: up to the first a text is written, from the second on it is a copy and worth nothing."""
DISORDER, ORDER = 0.35, 0.5
"""Share of successive words that are near in the source: up to the first a text is a salad, from the second on none."""
UNKNOWN_COST = 0.5
_REPEATED = 4


def transition_scale(categories: int) -> float:
    """T: 0 without a transition, then 0.4 and 0.05 for every further category, at most 1."""
    return min(1.0, 0.4 + min(0.05 * (categories - 1), 0.6)) if categories else 0.0


MAXIMUM = STRUCTURE + LENGTH + VOCABULARY + (TRANSITIONS * transition_scale(12) + COHERENCE)
"""The attainable maximum of both profiles, 2.98."""


@dataclasses.dataclass(frozen=True)
class Band:
    """A number that is right between ``good_low`` and ``good_high``, and less and less so out to ``low`` and ``high``."""

    low: float
    good_low: float
    good_high: float = math.inf
    high: float = math.inf

    def value(self, number: float) -> float | None:
        """1 inside, falling linearly to 0 at the outer ends, None beyond them."""
        if not self.low <= number <= self.high:
            return None
        if number < self.good_low:
            return (number - self.low) / (self.good_low - self.low)
        if number > self.good_high:
            return 1.0 - (number - self.good_high) / (self.high - self.good_high)
        return 1.0


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a task wants of its two texts."""

    least_words: int
    """Least number of whitespace tokens of each text."""
    most_words: int
    length: Band
    """Characters of the second text over those of the first."""
    vocabulary: Band
    """Distinct words of the second text over those of the first."""
    jaccard: float
    """Overlap of the content words that counts as full."""
    transitions_in_both: bool
    """Whether transitions count in both texts or only in the second."""


@functools.lru_cache(maxsize=256)
def evaluate(shape: Shape, source: str, texts: tuple[str, str]) -> Mapping[str, float]:
    """All components of a pair of texts; ``paper`` and ``hardened`` are the two rewards.

    ``level1`` to ``level4`` are the values of the levels whatever the gates say, ``gate1`` to ``gate3`` whether one may
    pass on to the next level. Ratios over nothing are 0. The last results are remembered, since a step asks several times.
    """
    first, second = texts
    found = [lexicon.words(text) for text in texts]
    tokens = [len(text.split()) for text in texts]
    unique = [len(set(each)) for each in found]
    length_ratio = _ratio(len(second), len(first))
    vocabulary_ratio = _ratio(unique[1], unique[0])
    structured = all(shape.least_words <= count <= shape.most_words for count in tokens)
    length = shape.length.value(length_ratio) if first else None
    vocabulary = shape.vocabulary.value(vocabulary_ratio) if unique[0] else None
    gates = (structured, length is not None, vocabulary is not None)
    overlap = _jaccard(*(lexicon.content(each) for each in found))
    coherence = COHERENCE * min(1.0, overlap / shape.jaccard)
    anywhere, whole = _category_counts(shape, first, second)
    levels = [STRUCTURE * structured, LENGTH * (length or 0.0), VOCABULARY * (vocabulary or 0.0)]
    style = TRANSITIONS * transition_scale(anywhere) + coherence
    hardened_style = TRANSITIONS * transition_scale(whole) + coherence
    honesty = _honesty(source, texts, found)
    earned = _trust(honesty) * _gated([*levels, hardened_style], gates)
    numbers = {
        "paper": _gated([*levels, style], gates),
        "hardened": max(0.0, earned - UNKNOWN_COST * honesty["unknown"]),
        "paper_ungated": sum(levels) + style,
        **{f"level{number}": value for number, value in enumerate((*levels, style), 1)},
        **{f"gate{number}": float(passed) for number, passed in enumerate(gates, 1)},
        "length_ratio": length_ratio,
        "vocabulary_ratio": vocabulary_ratio,
        "categories": float(anywhere),
        "categories_whole": float(whole),
        "transition_reward": TRANSITIONS * transition_scale(anywhere),
        "jaccard": overlap,
        "jaccard_reward": coherence,
        **honesty,
    }
    for number, text in enumerate(texts):
        numbers[f"words{number + 1}"] = float(tokens[number])
        numbers[f"characters{number + 1}"] = float(len(text))
        numbers[f"unique{number + 1}"] = float(unique[number])
    return numbers


def _category_counts(shape: Shape, first: str, second: str) -> tuple[int, int]:
    """Transition categories as released (inside words, texts joined without a gap), and as whole words of one text."""
    if not shape.transitions_in_both:
        return len(lexicon.categories(second)), len(lexicon.whole_word_categories(second))
    whole = lexicon.whole_word_categories(first) | lexicon.whole_word_categories(second)
    return len(lexicon.categories(first + second)), len(whole)


def _gated(levels: Sequence[float], gates: Sequence[bool]) -> float:
    """The sum of the levels up to the first gate that is shut; a shut gate's own level is 0."""
    total = 0.0
    for level, passed in zip(levels, (*gates, True), strict=True):
        if not passed:
            break
        total += level
    return total


def _honesty(source: str, texts: Sequence[str], found: Sequence[Sequence[str]]) -> dict[str, float]:
    """What the released reward does not look at: the source, repetition, made-up words, copying."""
    original = lexicon.words(source)
    wanted = lexicon.content(original)
    written = [word for each in found for word in each]
    recall = len(wanted & set(written)) / len(wanted) if wanted else 1.0
    known, there = lexicon.known_words(), frozenset(original)
    followed = [follow(read(source), each) for each in found]
    return {
        "recall": recall,
        "grounding": min(1.0, recall / RECALL_ENOUGH),
        "repetition": max(map(_repetition, found)),
        "unknown": _ratio(sum(word not in known and word not in there for word in written), len(written)),
        "own_words": min(_own_words(there, each) for each in found),
        "copied": max(copied for copied, _ in followed),
        "ordered": min(ordered for _, ordered in followed),
    }


def _trust(honesty: Mapping[str, float]) -> float:
    """g²·(1 − repetition)²·own·written·order: the share that a grounded, varied text in words of its own may keep."""
    own = min(1.0, honesty["own_words"] / OWN_ENOUGH)
    written = min(1.0, max(0.0, (COPY - honesty["copied"]) / (COPY - WRITTEN)))
    order = min(1.0, max(0.0, (honesty["ordered"] - DISORDER) / (ORDER - DISORDER)))
    return honesty["grounding"] ** 2 * (1.0 - honesty["repetition"]) ** 2 * own * written * order


def _repetition(found: Sequence[str]) -> float:
    """The share of word 4-grams that occur more than once in their text."""
    counts = Counter(grams(found, _REPEATED))
    return _ratio(sum(count for count in counts.values() if count > 1), counts.total())


def _own_words(original: frozenset[str], found: Sequence[str]) -> float:
    """The share of a text's distinct words that are neither the source's nor part of a transition."""
    distinct = set(found)
    return _ratio(len(distinct - original - lexicon.transition_words()), len(distinct))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
