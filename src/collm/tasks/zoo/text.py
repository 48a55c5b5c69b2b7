"""The space of everything that agents see and write: any text."""

from __future__ import annotations

import re
import string
import sys
from typing import Any

from gymnasium import spaces

_SAMPLED = string.printable + "äéßñçØžłИжΩπअ中字日本語한글العربيةעברית²½–—“”…→≤🙂🧱\u00a0\u200b\u202e\ufeff"
_LONGEST_SAMPLE = 80
_SURROGATE = re.compile("[\ud800-\udfff]")


class AnyText(spaces.Text):
    """All Unicode texts of any length, the empty one included.

    gymnasium's own space of texts has a finite alphabet, and samples lengths up to its greatest one. Here every string
    belongs that can be written as UTF-8 (so no lone surrogates), and samples are at most 80 characters of
    several scripts, marks and white space.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(max_length=sys.maxsize, min_length=0, charset=_SAMPLED, seed=seed)

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and _SURROGATE.search(x) is None

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A short text; ``mask`` and ``probability`` as in ``gymnasium.spaces.Text``."""
        if mask is None and probability is None:
            mask = (int(self.np_random.integers(_LONGEST_SAMPLE + 1)), None)
        return super().sample(mask, probability)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText)

    def __repr__(self) -> str:
        return "AnyText()"

    @property
    def is_np_flattenable(self) -> bool:
        return False
