"""When a returned value is the expected one: equal plain values of equal types, all the way down."""

from __future__ import annotations

import math
from typing import Any


def same(found: Any, expected: Any) -> bool:
    """Whether two plain values are equal, type for type."""
    waiting = [(found, expected)]
    while waiting:
        a, b = waiting.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, (list, tuple)):
            if len(a) != len(b):
                return False
            waiting.extend(zip(a, b, strict=True))
        elif isinstance(a, dict):
            # Keys are compared with their types too: 1, 1.0 and True are one key for a dict.
            if len(a) != len(b) or any(key not in a for key in b) or not _same_types(a, b):
                return False
            waiting.extend((a[key], b[key]) for key in b)
        elif isinstance(a, (set, frozenset)):
            if a != b or not _same_types(a, b):
                return False
        elif isinstance(a, float):
            if not (a == b or (math.isnan(a) and math.isnan(b))):
                return False
        elif a != b:
            return False
    return True


def _same_types(a: Any, b: Any) -> bool:
    """Whether equal members of two sets, or equal keys of two dicts, have equal types."""
    types = {key: type(key) for key in a}
    return all(types.get(key) is type(key) for key in b)
