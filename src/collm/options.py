"""Frozen dataclasses as the one source of Python API, YAML keys and flags: reading, checking, describing them."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from collm.errors import ConfigError, unknown_name

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Range:
    """The allowed range of a number, as ``Annotated[int, Range(1, 4)]``. Ends are included unless ``open_low``."""

    low: float | None = None
    high: float | None = None
    open_low: bool = False

    def contains(self, value: float) -> bool:
        if self.low is not None and (value < self.low or (self.open_low and value == self.low)):
            return False
        return value == value and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        low = "" if self.low is None else f"{'above' if self.open_low else 'at least'} {self.low:g}"
        high = "" if self.high is None else f"at most {self.high:g}"
        return " and ".join(part for part in (low, high) if part)


def hints(cls: type) -> dict[str, Any]:
    """The resolved type of every field, with its ``Annotated`` metadata."""
    return typing.get_type_hints(cls, include_extras=True)


def check(options: Any, where: str = "") -> None:
    """Raise ConfigError for the first field whose value its type or range does not allow."""
    for name, hint in hints(type(options)).items():
        _check_value(getattr(options, name), hint, f"{where}{name}")


def _check_value(value: Any, hint: Any, where: str) -> None:
    if dataclasses.is_dataclass(value):
        check(value, f"{where}.")
        return
    base, ranges = _split(hint)
    value = _coerce(value, base, where)
    if value is not None:
        for allowed in ranges:
            if not allowed.contains(value):
                raise ConfigError(f"{where} = {value}: must be {allowed}.")
    if typing.get_origin(base) is tuple:
        for element in value:
            _check_value(element, typing.get_args(base)[0], where)


def _split(hint: Any) -> tuple[Any, list[Range]]:
    if typing.get_origin(hint) is typing.Annotated:
        base, *extras = typing.get_args(hint)
        return base, [extra for extra in extras if isinstance(extra, Range)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return hint, [allowed for option in typing.get_args(hint) for allowed in _split(option)[1]]
    return hint, []


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str = "", default: T | None = None) -> T:
    """Build a dataclass from nested mappings (a YAML file); unknown keys name the nearest valid one."""
    if not isinstance(values, Mapping):
        found = "nothing" if values is None else repr(values)
        raise ConfigError(f"{where.rstrip('.') or 'the file'}: expected keys and values, found {found:.80}.")
    known = hints(cls)
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise unknown_name("key", f"{where}{key}", [f"{where}{name}" for name in known])
        base, _ = _split(known[key])
        inner = getattr(default, key) if default is not None else None
        nested = type(inner) if dataclasses.is_dataclass(inner) else base
        if dataclasses.is_dataclass(nested):
            changes[key] = from_mapping(typing.cast(type, nested), value, f"{where}{key}.", inner)
        else:
            changes[key] = _coerce(value, base, f"{where}{key}")
    if default is not None:
        return dataclasses.replace(default, **changes)  # type: ignore[type-var]
    return cls(**changes)


def _coerce(value: Any, hint: Any, where: str) -> Any:
    """The value as the type the field declares, or ConfigError. Integers pass as floats, strings as numbers do not."""
    hint, _ = _split(hint)
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise unknown_name(f"value for {where}", value, [str(choice) for choice in choices])
        return value
    if origin in (typing.Union, types.UnionType):
        failures = []
        for option in typing.get_args(hint):
            try:
                return _coerce(value, option, where)
            except ConfigError as error:
                failures.append(error)
        raise failures[0]
    if origin is tuple:
        item = typing.get_args(hint)[0]
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} = {value!r}: expected a list.")
        return tuple(_coerce(element, item, where) for element in value)
    if hint is type(None):
        if value is None:
            return None
        raise ConfigError(f"{where} = {value!r}: expected nothing (null).")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ConfigError(f"{where} = {value!r}: expected {hint.__name__}, found {type(value).__name__}.")
    return value


def to_mapping(options: Any) -> dict[str, Any]:
    """The dataclass as plain dictionaries and lists, ready for YAML or JSON."""
    return {
        field.name: to_mapping(value) if dataclasses.is_dataclass(value) else _plain(value)
        for field in dataclasses.fields(options)
        for value in [getattr(options, field.name)]
    }


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(element) for element in value]
    return value
