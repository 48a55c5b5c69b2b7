"""``collm tasks``: which tasks there are."""

from __future__ import annotations

from collections.abc import Sequence

from collm.commands.listing import print_list
from collm.tasks.registry import task_class, task_names


def main(arguments: Sequence[str]) -> int:
    print_list("tasks", arguments, {name: task_class(name).summary for name in task_names()})
    return 0
