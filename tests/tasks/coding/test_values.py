"""Equality of plain values, type for type."""

from __future__ import annotations

import math
from typing import Any

import pytest

from collm.tasks.coding.values import same


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (0, False, False),
        ([1, 2], [1, 2], True),
        ([1, 2], (1, 2), False),
        ([1, [2.0]], [1, [2]], False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1.0}, False),
        ({1: 0}, {True: 0}, False),
        ({1, 2}, {2, 1}, True),
        ({1}, {True}, False),
        ("a", b"a", False),
        (None, 0, False),
        (math.nan, math.nan, True),
        (0.1 + 0.2, 0.3, False),
        ([], [[]], False),
        ({"a": 1}, {"b": 1}, False),
    ],
)
def test_same(a: Any, b: Any, equal: bool) -> None:
    assert same(a, b) == same(b, a) == equal


def test_depth_is_no_matter() -> None:
    deep: Any = []
    other: Any = []
    for _ in range(10_000):
        deep, other = [deep], [other]
    assert same(deep, other)
