"""Lists of names with one line each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from collm.commands.common import parse, print_json


@dataclasses.dataclass(frozen=True)
class ListCommand:
    """List what there is, one line each."""

    json: bool = False
    """Print exactly one JSON object on standard output."""


def print_list(command: str, arguments: Sequence[str], rows: Mapping[str, str]) -> None:
    """Print names and summaries, as JSON if asked."""
    if parse(ListCommand, command, arguments).json:
        print_json({command: [{"name": name, "summary": summary} for name, summary in rows.items()]})
        return
    width = max(map(len, rows), default=0)
    for name, summary in rows.items():
        print(f"{name:<{width}}  {summary}")
