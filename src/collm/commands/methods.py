"""``collm methods``: which methods there are."""

from __future__ import annotations

from collections.abc import Sequence

from collm.commands.listing import print_list
from collm.methods import METHODS


def main(arguments: Sequence[str]) -> int:
    print_list("methods", arguments, {name: method.summary for name, method in METHODS.items()})
    return 0
