"""Spaces in words: an observation as text, and a text as an action."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from collm.errors import ConfigError

MASK = "action_mask"
"""Where PettingZoo's games say which actions are legal: in the observation, or in the infos."""
_MOST_NUMBERS = 256
_READ = 4_000
"""Characters of a text in which an action is looked for."""
_NUMBER = re.compile(r"(?<![0-9.])-?[0-9]{1,9}(?:\.[0-9]{1,9})?(?![0-9])")


@dataclasses.dataclass(frozen=True)
class Slot:
    """One number of an action: its range, and whether it is a whole one."""

    low: float
    high: float
    whole: bool

    def taken(self, number: float) -> float | None:
        """The number as this slot takes it: real ones are clipped, whole ones that do not fit are None."""
        if self.whole:
            return number if number == int(number) and self.low <= number <= self.high else None
        return min(max(number, self.low), self.high)

    def nothing(self) -> float:
        """0, or the number of the range that is nearest to it."""
        return min(max(0.0, self.low), self.high)

    def __str__(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            return "any"
        return f"from {number_text(self.low)} to {number_text(self.high)}"


def number_text(number: Any) -> str:
    """A number as it is shown: whole ones whole, others with two decimals."""
    if isinstance(number, (bool, np.bool_)):
        return str(int(number))
    if isinstance(number, (int, np.integer)) or math.isinf(number) or number != number:
        return str(number)
    # Adding 0 makes a rounded -0 a 0.
    return np.format_float_positional(round(float(number), 2) + 0.0, precision=2, trim="-")


def size(space: spaces.Space[Any], where: str) -> int:
    """How many numbers an observation has. Raises ConfigError for spaces that have no plain wording."""
    if isinstance(space, spaces.Text):
        return 0
    if isinstance(space, spaces.Discrete):
        return 1
    if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
        return int(np.prod(space.shape))
    if isinstance(space, spaces.Dict):
        return sum(size(inner, where) for name, inner in space.spaces.items() if name != MASK)
    if isinstance(space, spaces.Tuple):
        return sum(size(inner, where) for inner in space.spaces)
    raise ConfigError(
        f"{where} is a {type(space).__name__}; give observe=, a function from agent and observation to text."
    )


def require_wording(space: spaces.Space[Any], where: str) -> None:
    """Raise ConfigError for observations that nobody would read as numbers, such as images."""
    count = size(space, where)
    if count > _MOST_NUMBERS:
        raise ConfigError(
            f"{where} has {count} numbers, more than {_MOST_NUMBERS}; give observe=, a function from agent and observation "
            "to a shorter text."
        )


def wording(space: spaces.Space[Any], observation: Any) -> str:
    """An observation as text: numbers in rows, parts of a mapping behind their names. A mask is no part of it."""
    if isinstance(space, spaces.Text):
        return str(observation)
    if isinstance(space, spaces.Dict):
        names = [name for name in space.spaces if name != MASK]
        parts = [wording(space.spaces[name], observation[name]) for name in names]
        if len(names) == 1 and MASK in space.spaces:
            return parts[0]
        return "\n".join(f"{name}: {part}" for name, part in zip(names, parts, strict=True))
    if isinstance(space, spaces.Tuple):
        return "\n".join(wording(inner, part) for inner, part in zip(space.spaces, observation, strict=True))
    return _rows(np.asarray(observation))


def _rows(numbers: np.ndarray) -> str:
    """The last axis in a line, the one before it as lines, others with an empty line between."""
    if numbers.ndim <= 1:
        return " ".join(number_text(number) for number in np.atleast_1d(numbers))
    return ("\n" if numbers.ndim == 2 else "\n\n").join(map(_rows, numbers))


def slots(space: spaces.Space[Any], where: str) -> list[Slot]:
    """The numbers of an action, in order. Raises ConfigError for a space without a plain reading."""
    if isinstance(space, spaces.Discrete):
        return [Slot(int(space.start), int(space.start + space.n) - 1, True)]
    if isinstance(space, spaces.MultiDiscrete):
        pairs = zip(np.ravel(space.start), np.ravel(space.nvec), strict=True)
        return [Slot(int(start), int(start + count) - 1, True) for start, count in pairs]
    if isinstance(space, spaces.MultiBinary):
        return [Slot(0, 1, True)] * int(np.prod(space.shape))
    if isinstance(space, spaces.Box):
        whole = space.dtype.kind in "iu"
        pairs = zip(np.ravel(space.low), np.ravel(space.high), strict=True)
        return [Slot(float(low), float(high), whole) for low, high in pairs]
    if isinstance(space, spaces.Dict):
        return [slot for inner in space.spaces.values() for slot in slots(inner, where)]
    if isinstance(space, spaces.Tuple):
        return [slot for inner in space.spaces for slot in slots(inner, where)]
    raise ConfigError(
        f"{where} has a {type(space).__name__} in it; give act=, a function from agent, text and observation to an action."
    )


def action_of(space: spaces.Space[Any], numbers: Iterator[float]) -> Any:
    """The action that these numbers make, in the order of :func:`slots`."""
    if isinstance(space, spaces.Discrete):
        return int(next(numbers))
    if isinstance(space, spaces.Dict):
        return {name: action_of(inner, numbers) for name, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(action_of(inner, numbers) for inner in space.spaces)
    assert isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary))
    flat = [next(numbers) for _ in range(int(np.prod(space.shape)))]
    return np.array(flat, dtype=space.dtype).reshape(space.shape)


def read_numbers(text: str, wanted: Sequence[Slot]) -> list[float] | None:
    """The first numbers of a text, one per slot; None if there are too few or one does not fit."""
    found = [float(number) for number in _NUMBER.findall(text[:_READ])[: len(wanted)]]
    if len(found) < len(wanted):
        return None
    taken = [slot.taken(number) for slot, number in zip(wanted, found, strict=True)]
    return None if None in taken else [number for number in taken if number is not None]


def read_choice(text: str, choice: Slot, names: Sequence[str]) -> int | None:
    """The first number or name in a text that is one of the actions; None if there is none."""
    longest_first = sorted(names, key=len, reverse=True)
    named = "|".join(re.escape(name) for name in longest_first)
    pattern = rf"(?P<name>(?<!\w)(?:{named})(?!\w))|{_NUMBER.pattern}" if names else _NUMBER.pattern
    lowered = [name.lower() for name in names]
    for match in re.finditer(pattern, text[:_READ], re.IGNORECASE):
        if names and match["name"] is not None:
            return int(choice.low) + lowered.index(match["name"].lower())
        number = choice.taken(float(match[0]))
        if number is not None:
            return int(number)
    return None


def mask_of(observation: Any, info: Mapping[str, Any]) -> np.ndarray | None:
    """Which actions of a Discrete space are legal, if the environment says so."""
    if isinstance(observation, Mapping) and MASK in observation:
        return np.asarray(observation[MASK])
    return np.asarray(info[MASK]) if MASK in info else None
