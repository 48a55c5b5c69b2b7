"""Generated sources whose facts are known: a topic, one phrase per slot, and some numbers.

A problem's facts are its name, so that a source can be written again from the name alone. Which split it belongs to follows
from a hash of topic and phrases: sources that differ in their numbers alone are in the same one.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from collm.randomness import generator
from collm.tasks.protocol import Split
from collm.tasks.splits import split_of
from collm.tasks.writing import lexicon

_DETAIL = re.compile(r"([a-z]+)(\d+)")
_DRAWS_PER_PROBLEM = 400


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a generated source says."""

    topic: str
    phrases: Mapping[str, str]
    """Slot → phrase, in the order of the slots."""
    numbers: Mapping[str, int]
    """Optional details of the source: name → number."""
    id: str
    """Topic, place of each phrase in its list, details: ``housing-01230-weeks6``."""

    @property
    def told(self) -> str:
        """The name without the details: what splits go by."""
        return "-".join(self.id.split("-")[:2])


class Grammar:
    """The lists of one kind of source, from a data file of the package."""

    def __init__(self, name: str, details: Mapping[str, tuple[int, int]]) -> None:
        self.name = name
        self.data = lexicon.read(name)
        self.topics: Mapping[str, Mapping[str, Sequence[str]]] = self.data["topics"]
        self.details = details
        """Optional details, each with its least and greatest number."""

    def split(self, facts: Facts) -> Split:
        """The split of all sources with this topic and these phrases."""
        return split_of(self.name, facts.told)

    def draw(self, random: np.random.Generator, details: tuple[int, int]) -> Facts:
        """Facts with between ``details[0]`` and ``details[1]`` optional details."""
        topic = sorted(self.topics)[int(random.integers(len(self.topics)))]
        choices = [int(random.integers(len(phrases))) for phrases in self.topics[topic].values()]
        count = int(random.integers(details[0], details[1] + 1))
        chosen = sorted(random.permutation(len(self.details))[:count])
        ranges = list(self.details.items())
        numbers = {ranges[i][0]: int(random.integers(ranges[i][1][0], ranges[i][1][1] + 1)) for i in chosen}
        return self._facts(topic, choices, numbers)

    def _facts(self, topic: str, choices: Sequence[int], numbers: Mapping[str, int]) -> Facts:
        slots = self.topics[topic]
        phrases = {slot: slots[slot][choice] for slot, choice in zip(slots, choices, strict=True)}
        parts = [topic, "".join(map(str, choices)), *(f"{name}{number}" for name, number in numbers.items())]
        return Facts(topic, phrases, numbers, "-".join(parts))

    def named(self, name: str) -> Facts | None:
        """The facts with this id, None if it is the id of none."""
        topic, _, rest = name.partition("-")
        digits, *details = rest.split("-")
        slots = list(self.topics.get(topic, {}).values())
        found = [_DETAIL.fullmatch(detail) for detail in details]
        if not slots or len(digits) != len(slots) or not digits.isdecimal() or not all(found):
            return None
        choices = [int(digit) for digit in digits]
        numbers = {match[1]: int(match[2]) for match in found if match}
        if any(choice >= len(phrases) for choice, phrases in zip(choices, slots, strict=True)):
            return None
        facts = self._facts(topic, choices, numbers)
        known = all(
            key in self.details and self.details[key][0] <= number <= self.details[key][1]
            for key, number in numbers.items()
        )
        return facts if known and facts.id == name else None


@functools.cache
def generated_facts(
    grammar: Grammar, split: Split, size: int, seed: int, details: tuple[int, int]
) -> tuple[Facts, ...]:
    """Up to ``size`` distinct facts of a split, in an order that depends on the seed; fewer where fewer exist."""
    random = generator(f"{grammar.name} facts", split, seed, *details)
    found: dict[str, Facts] = {}
    for _ in range(_DRAWS_PER_PROBLEM * size):
        facts = grammar.draw(random, details)
        if grammar.split(facts) == split:
            found[facts.id] = facts
            if len(found) == size:
                break
    return tuple(found.values())
