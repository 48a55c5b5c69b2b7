import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collm.sandbox.inside import codec

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary(max_size=40)
)
HASHABLE = st.recursive(LEAVES, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4), max_leaves=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
        | st.frozensets(HASHABLE, max_size=4)
    ),
    max_leaves=20,
)


def same(left: object, right: object) -> bool:
    """Equal in value and in type all the way down; nan is itself and -0.0 is not 0.0."""
    return type(left) is type(right) and codec.encode(left) == codec.encode(right)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_what_goes_in_comes_out(value: object) -> None:
    assert same(codec.decode(codec.encode(value)), value)


@pytest.mark.parametrize("value", [0, -1, 255, -256, 10**400, -(2**63), True, -0.0, math.inf, -math.inf, "\ud800", b""])
def test_edges_keep_value_and_type(value: object) -> None:
    read = codec.decode(codec.encode(value))
    assert type(read) is type(value)
    assert read == value
    assert repr(read) == repr(value)


def test_nan_stays_nan() -> None:
    assert math.isnan(codec.decode(codec.encode(math.nan)))


def test_equal_sets_have_equal_bytes_and_equal_numbers_of_other_type_do_not() -> None:
    assert codec.encode({8, 16, 0}) == codec.encode({0, 16, 8})
    assert len({codec.encode(one) for one in (1, True, 1.0, 1 + 0j)}) == 4


class Always(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


@pytest.mark.parametrize(
    "value", [Always(3), [Always(3)], object(), range(3), bytearray(b"x"), iter([]), len, {1: Always()}]
)
def test_other_types_are_refused_wherever_they_are(value: object) -> None:
    with pytest.raises(codec.Refused, match="a value of type"):
        codec.encode(value)


def test_what_is_too_deep_or_too_large_is_refused() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(codec.Refused, match="nested"):
        codec.encode(cycle)
    doubled: list[object] = []
    for _ in range(40):
        doubled = [doubled, doubled]
    for large in (doubled, "x" * 2000, b"x" * 2000, 1 << 20000, list(range(2000)), set(range(2000))):
        with pytest.raises(codec.Refused, match="more than 1000 bytes"):
            codec.encode(large, 1000)


def test_a_reader_refuses_what_would_cost_it() -> None:
    deep = b"l" + struct.pack(">I", 1)
    many = struct.pack(">I", codec.MAX_HASHED + 1)
    with pytest.raises(codec.Refused, match="nested"):
        codec.decode(deep * 5000 + b"N")
    with pytest.raises(codec.Refused, match="set members"):
        codec.decode(b"S" + many + b"N" * (codec.MAX_HASHED + 1))
    with pytest.raises(codec.Refused, match="length beyond the end"):
        codec.decode(b"l" + struct.pack(">I", 2**32 - 1))
    with pytest.raises(codec.Refused, match="unhashable"):
        codec.decode(b"S" + struct.pack(">I", 1) + b"l" + struct.pack(">I", 0))
    with pytest.raises(codec.Refused, match="behind"):
        codec.decode(b"NN")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | VALUES.map(codec.encode), st.integers(0, 59), st.integers(0, 255))
def test_mangled_bytes_are_a_value_or_refused(data: bytes, place: int, byte: int) -> None:
    mangled = data[:place] + bytes([byte]) + data[place + 1 :]
    try:
        value = codec.decode(mangled)
    except codec.Refused:
        return
    assert same(codec.decode(codec.encode(value)), value)
