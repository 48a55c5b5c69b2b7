"""The generated parts of documents, between ``<!-- name -->`` and ``<!-- end -->``."""

from __future__ import annotations

import re


def fill(text: str, name: str, part: str) -> str:
    """The text with its part of this name replaced."""
    pattern = rf"<!-- {re.escape(name)} -->\n.*?<!-- end -->"
    return re.sub(pattern, lambda _: f"<!-- {name} -->\n{part}\n<!-- end -->", text, flags=re.DOTALL)


def names(text: str, prefix: str) -> list[str]:
    """The names that begin with a prefix, in their order."""
    return re.findall(rf"<!-- ({re.escape(prefix)}.*?) -->", text)
