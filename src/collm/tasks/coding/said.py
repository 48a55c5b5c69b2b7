"""What tested code said, as text that is safe to show: one line, bounded, printable, and made without raising."""

from __future__ import annotations

from typing import Any

LINE = 200
"""Characters of a message."""
VALUE = 80
"""Characters of a value."""
_DIGITS_PER_BIT = 0.30103


def line(text: str, most: int = LINE) -> str:
    """A message on one line; line breaks become spaces, lone surrogates and control characters their escapes."""
    flat = " ".join(text[: 4 * most].split())
    return "".join(map(_shown, flat))[:most]


def well_formed(text: str) -> str:
    """A text of several lines that every encoding takes: lone surrogates become their escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def value(found: Any) -> str:
    """A returned value in short. Never raises, also for a number that Python refuses to write out."""
    try:
        return line(repr(found)[: 4 * VALUE], VALUE)
    except ValueError:
        if isinstance(found, int):
            return f"a number of about {int(found.bit_length() * _DIGITS_PER_BIT) + 1} digits"
        return f"a {type(found).__name__} with a number too long to show"


def _shown(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
