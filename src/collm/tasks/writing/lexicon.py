"""The package's own word lists: transition phrases by category, stop words, and known English words."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Any

_WORD = re.compile(r"\w+")
_VOWELS = "aeiou"


def words(text: str) -> list[str]:
    """The lower-cased ``\\w+`` words of a text, in order."""
    return _WORD.findall(text.lower())


def content(found: Iterable[str]) -> frozenset[str]:
    """Distinct words without stop words."""
    return frozenset(found) - stop_words()


def read(name: str) -> Any:
    """A data file of this package."""
    return json.loads(files("collm.tasks.writing").joinpath(f"data/{name}.json").read_text())


@functools.cache
def transitions() -> Mapping[str, tuple[str, ...]]:
    """The twelve categories and their phrases; a phrase may be in several."""
    return {category: tuple(phrases) for category, phrases in read("transitions").items()}


@functools.cache
def transition_words() -> frozenset[str]:
    """Every word of every phrase."""
    return frozenset(word for phrases in transitions().values() for phrase in phrases for word in words(phrase))


@functools.cache
def stop_words() -> frozenset[str]:
    """Words that say nothing about what a text is about."""
    return frozenset(read("stop_words"))


@functools.cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    return {category: _whole(phrases) for category, phrases in transitions().items()}


def _whole(phrases: Iterable[str]) -> re.Pattern[str]:
    """Any of the phrases as whole words, whatever space lies between them."""
    spaced = (r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases)
    return re.compile(rf"(?<!\w)(?:{'|'.join(spaced)})(?!\w)")


def categories(text: str) -> frozenset[str]:
    """Categories with a phrase that occurs anywhere in the lower-cased text, inside words too."""
    lowered = text.lower()
    return frozenset(c for c, phrases in transitions().items() if any(phrase in lowered for phrase in phrases))


def whole_word_categories(text: str) -> frozenset[str]:
    """Categories with a phrase that stands in the text as whole words."""
    lowered = text.lower()
    return frozenset(category for category, pattern in _patterns().items() if pattern.search(lowered))


@functools.cache
def known_words() -> frozenset[str]:
    """English words that need not come from the source: the base list, its regular inflections, the other lists."""
    data = read("words")
    known = {form for base in data["regular"].split() for form in _inflected(base)}
    known.update(data["fixed"].split(), stop_words(), transition_words())
    return frozenset(known)


def _inflected(base: str) -> Iterator[str]:
    """A word with the regular endings of nouns, verbs and adjectives; some forms do not exist, which does no harm."""
    yield base
    yield f"{base}{'es' if base.endswith(('s', 'x', 'z', 'ch', 'sh', 'o')) else 's'}"
    stem = base
    if base.endswith("e"):
        stem = base[:-1]
    elif base.endswith("y") and base[-2:-1] not in _VOWELS:
        yield f"{base[:-1]}ies"
        yield from (f"{base[:-1]}i{ending}" for ending in ("ed", "er", "est", "ly"))
    elif len(base) > 2 and base[-1] not in "aeiouwxy" and base[-2] in _VOWELS and base[-3] not in _VOWELS:
        yield from (f"{base}{base[-1]}{ending}" for ending in ("ed", "ing", "er", "est"))
    yield from (f"{stem}{ending}" for ending in ("ed", "er", "est", "ing", "ings", "ers"))
    yield f"{base[:-2]}ly" if base.endswith("le") else f"{base}ly"
