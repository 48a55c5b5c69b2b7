"""Texts that try to be paid for nothing: strategies from a source to a pair of texts."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from collm.randomness import generator
from collm.tasks.writing import lexicon

ONE_OF_EACH = tuple(phrases[0] for phrases in lexicon.transitions().values())
"""One connective per category."""
COVERING = ("first of all", "for example", "indeed", "because", "if", "while", "similarly", "in summary")

NOUNS = (
    *("people", "house", "water", "money", "story", "child", "world", "school", "country", "family", "night", "table"),
    *("river", "garden", "market"),
)
"""Words that stand in no source, or in few: what a copy is padded with to look like one's own words."""

Strategy = Callable[[str], tuple[str, str]]


def _noise(count: int, seed: str) -> list[str]:
    """Words that do not exist, all different."""
    random = generator("nonsense", seed)
    letters = np.array(list("bcdfghjklmnpqrstvwxz"))
    return ["".join(random.choice(letters, 6)) for _ in range(count)]


def _common(count: int, seed: str) -> list[str]:
    """English words that have nothing to do with any source, all different."""
    words = sorted(lexicon.read("words")["regular"].split())
    return [str(word) for word in generator("common", seed).choice(words, count, replace=False)]


def _cut(words: list[str], count: int) -> str:
    return " ".join((words * (count // max(1, len(words)) + 1))[:count])


def _sprinkled(words: list[str]) -> str:
    every = max(1, len(words) // len(COVERING))
    out = []
    for place, word in enumerate(words):
        if place % every == 0 and place // every < len(COVERING):
            out.append(COVERING[place // every])
        out.append(word)
    return " ".join(out)


def nonsense(lengths: tuple[int, int]) -> dict[str, Strategy]:
    """No sense, every connective; ``lengths`` are the words of the two texts that pass the task's gates."""
    first, second = lengths
    shared = max(2, first // 3)

    def made_up(source: str) -> tuple[str, str]:
        noise = _noise(first + second, "a")
        return " ".join(noise[:first]), " ".join([*ONE_OF_EACH, *noise[:shared], *noise[first:]][: second + shared])

    def english(source: str) -> tuple[str, str]:
        noise = _common(first + second, "b")
        return " ".join(noise[:first]), " ".join(
            [*ONE_OF_EACH, *noise[:shared], *noise[first : first + second - shared]]
        )

    return {
        "made-up words": made_up,
        "English words": english,
        "connectives alone": lambda s: (_cut(list(ONE_OF_EACH), first), _cut(list(ONE_OF_EACH), second)),
    }


def repeated(lengths: tuple[int, int]) -> dict[str, Strategy]:
    """The same again and again."""
    first, second = lengths

    def sentence(source: str) -> tuple[str, str]:
        words = source.split()[:12]
        return _cut(words, first), _cut(words, second)

    def rich(source: str) -> tuple[str, str]:
        words = source.split()[:12]
        return _cut(words, first), _cut([*words, *ONE_OF_EACH], second)

    def third(source: str) -> tuple[str, str]:
        words = source.split()
        words = words[: len(words) // 3]
        return _cut(words, first), _cut([*words, *ONE_OF_EACH], second)

    def word(source: str) -> tuple[str, str]:
        return _cut(["word"], first), _cut(["word"], second)

    def whole(source: str) -> tuple[str, str]:
        return source, f"{source} {source}"

    return {
        "a word": word,
        "a sentence": sentence,
        "a sentence with connectives": rich,
        "a third with connectives": third,
        "the source once and twice": whole,
    }


def copied(lengths: tuple[int, int]) -> dict[str, Strategy]:
    """The source itself."""
    first = lengths[0]

    def shuffled(source: str) -> tuple[str, str]:
        words = source.split()
        mixed = [words[i] for i in generator("shuffle").permutation(len(words))]
        return _cut(mixed, first), _sprinkled(mixed)

    def mixed(words: list[str], seed: str) -> list[str]:
        return [words[i] for i in generator("mixed", seed).permutation(len(words))]

    def padded(words: list[str], count: int, nouns: int) -> list[str]:
        """The words, or a part of them, with nouns strewn in between."""
        out = list(words[: max(1, count - nouns)])
        for place, noun in enumerate(NOUNS[:nouns]):
            out.insert(min(len(out), (place + 1) * (len(out) // nouns + 1)), noun)
        return out

    def pair(words: list[str], nouns: int, salad: bool) -> tuple[str, str]:
        second = padded(mixed(words, "second") if salad else words, lengths[1], nouns)
        one = padded(mixed(words, "first") if salad else words, first, min(nouns, max(5, first // 5)))
        return _cut(one, max(first, len(one))), _sprinkled([*second, *NOUNS[nouns:]])

    def third(source: str, salad: bool) -> tuple[str, str]:
        words = source.split()
        part = words[: max(8, len(words) // 3)]
        if salad:
            part, words = mixed(part, "third"), mixed(words, "whole")
        return " ".join([*part, *NOUNS[:6]]), " ".join([_sprinkled(words), *NOUNS])

    def content(source: str) -> list[str]:
        return [word for word in lexicon.words(source) if word not in lexicon.stop_words()]

    return {
        **{
            f"{name}{nouns} nouns, connectives": functools.partial(
                lambda s, nouns, salad: pair(s.split(), nouns, salad), nouns=nouns, salad=salad
            )
            for nouns in (5, 10, 15)
            for name, salad in (("", False), ("shuffled, ", True))
        },
        "a third and all of it, nouns, connectives": lambda s: third(s, False),
        "a third and all of it shuffled, nouns, connectives": lambda s: third(s, True),
        "its content words, nouns, connectives": lambda s: pair(content(s), 10, False),
        "a salad of its content words, nouns, connectives": lambda s: pair(content(s) * 2, 15, True),
        "both": lambda s: (s, s),
        "first only": lambda s: (s, ""),
        "second only": lambda s: ("", s),
        "both, connectives in the second": lambda s: (s, _sprinkled(s.split())),
        "its beginning, and all of it": lambda s: (_cut(s.split(), first), s),
        "its beginning, and all of it with connectives": lambda s: (_cut(s.split(), first), _sprinkled(s.split())),
        "its first and its second part": lambda s: (" ".join(s.split()[:first]), " ".join(s.split()[first:])),
        "shuffled words with connectives": shuffled,
    }
