"""Plain values as bytes: the only thing that passes between tested code and the rest.

None, bool, int, float, complex, str, bytes, list, tuple, dict, set and frozenset, of exactly these types: an instance
of a subclass is refused, so an object with its own ``__eq__`` cannot cross. Equal values of equal types have equal
bytes, whatever the order in which a set was built. A reader trusts nothing: lengths, depth, tags and the number of
hashed items are checked, and every fault is a ``Refused``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 64
"""Containers within containers."""

MAX_HASHED = 4096
"""Set members and dict keys in one value that is read: keys made to collide cost the reader the square of this."""

MAX_BYTES = 64 * 2**20
"""Bytes of one value unless the caller says less."""

_LENGTH = struct.Struct(">I")
_FLOAT = struct.Struct(">d")
_COMPLEX = struct.Struct(">dd")


class Refused(Exception):
    """A value that cannot cross, or bytes that are no value."""


def encode(value: object, limit: int = MAX_BYTES) -> bytes:
    """``value`` as at most ``limit`` bytes, or ``Refused``."""
    out = bytearray()
    _write(value, out, limit, 0)
    if len(out) > limit:
        raise Refused(f"a value of more than {limit} bytes")
    return bytes(out)


def decode(data: bytes) -> Any:
    """The value in ``data``, all of it, or ``Refused``."""
    reader = _Reader(data)
    try:
        value = reader.value(0)
    except (TypeError, UnicodeDecodeError) as error:
        raise Refused(f"no value: {error}") from None
    if reader.place != len(data):
        raise Refused("bytes behind a value")
    return value


def _write(value: Any, out: bytearray, limit: int, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Refused(f"a value nested more than {MAX_DEPTH} deep")
    if len(out) > limit:
        raise Refused(f"a value of more than {limit} bytes")
    kind = type(value)
    writer = _WRITERS.get(kind)
    if writer is not None:
        writer(value, out, limit)
    elif kind in _SEQUENCES:
        _head(_SEQUENCES[kind], len(value), out)
        for item in value:
            _write(item, out, limit, depth + 1)
    elif kind in _SETS:
        _head(_SETS[kind], len(value), out)
        out += b"".join(sorted(_alone(item, limit, depth + 1) for item in value))
    elif kind is dict:
        _head(b"d", len(value), out)
        for key, item in value.items():
            _write(key, out, limit, depth + 1)
            _write(item, out, limit, depth + 1)
    else:
        raise Refused(f"a value of type {str(kind.__name__)[:80]}")


def _alone(value: object, limit: int, depth: int) -> bytes:
    out = bytearray()
    _write(value, out, limit, depth)
    return bytes(out)


def _head(tag: bytes, length: int, out: bytearray) -> None:
    out += tag
    out += _LENGTH.pack(length)


def _write_int(value: int, out: bytearray, limit: int) -> None:
    size = value.bit_length() // 8 + 1
    if size > limit:
        raise Refused(f"a value of more than {limit} bytes")
    _head(b"i", size, out)
    out += value.to_bytes(size, "big", signed=True)


def _write_text(value: str, out: bytearray, limit: int) -> None:
    if len(value) > limit:
        raise Refused(f"a value of more than {limit} bytes")
    data = value.encode("utf-8", "surrogatepass")
    _head(b"s", len(data), out)
    out += data


def _write_bytes(value: bytes, out: bytearray, limit: int) -> None:
    if len(value) > limit:
        raise Refused(f"a value of more than {limit} bytes")
    _head(b"b", len(value), out)
    out += value


def _write_none(value: None, out: bytearray, limit: int) -> None:
    out += b"N"


def _write_bool(value: bool, out: bytearray, limit: int) -> None:
    out += b"T" if value else b"F"


def _write_float(value: float, out: bytearray, limit: int) -> None:
    out += b"f" + _FLOAT.pack(value)


def _write_complex(value: complex, out: bytearray, limit: int) -> None:
    out += b"c" + _COMPLEX.pack(value.real, value.imag)


_WRITERS: dict[type, Callable[[Any, bytearray, int], None]] = {
    type(None): _write_none,
    bool: _write_bool,
    int: _write_int,
    float: _write_float,
    complex: _write_complex,
    str: _write_text,
    bytes: _write_bytes,
}
_SEQUENCES: dict[type, bytes] = {list: b"l", tuple: b"t"}
_SETS: dict[type, bytes] = {set: b"S", frozenset: b"Z"}


class _Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.place = 0
        self._hashed = 0

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise Refused(f"a value nested more than {MAX_DEPTH} deep")
        tag = self._take(1)
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag == b"f":
            return _FLOAT.unpack(self._take(8))[0]
        if tag == b"c":
            return complex(*_COMPLEX.unpack(self._take(16)))
        length = _LENGTH.unpack(self._take(4))[0]
        if tag in _LEAVES:
            return _LEAVES[tag](self._take(length))
        if length > len(self.data) - self.place:
            raise Refused("a length beyond the end")
        if tag in _CONTAINERS:
            if tag in b"SZ":
                self._hash(length)
            return _CONTAINERS[tag](self.value(depth + 1) for _ in range(length))
        if tag == b"d":
            self._hash(length)
            return {self.value(depth + 1): self.value(depth + 1) for _ in range(length)}
        raise Refused(f"the tag {tag!r}")

    def _take(self, length: int) -> bytes:
        end = self.place + length
        if end > len(self.data):
            raise Refused("a length beyond the end")
        data = self.data[self.place : end]
        self.place = end
        return data

    def _hash(self, length: int) -> None:
        self._hashed += length
        if self._hashed > MAX_HASHED:
            raise Refused(f"a value with more than {MAX_HASHED} set members and dict keys")


def _read_int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _read_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


_CONSTANTS: dict[bytes, Any] = {b"N": None, b"T": True, b"F": False}
_LEAVES: dict[bytes, Callable[[bytes], Any]] = {b"i": _read_int, b"s": _read_text, b"b": bytes}
_CONTAINERS: dict[bytes, Callable[[Any], Any]] = {b"l": list, b"t": tuple, b"S": set, b"Z": frozenset}
