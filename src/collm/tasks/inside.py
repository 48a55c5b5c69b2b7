"""Where an exception in a task's own code happened: the one place that says it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from collm.errors import CollmError, TaskError
from collm.tasks.protocol import Problem, Task


def inside_task(task: Task, problem: Problem, turn: int) -> contextlib.AbstractContextManager[None]:
    """Turns any exception of a task's own code into a TaskError that says where it happened."""
    agents = ", ".join(map(str, range(task.agents)))
    return _inside(f"the task '{task.name}' failed on problem {problem.id!r} at turn {turn} (agents {agents})")


def inside_memory(task: Task) -> contextlib.AbstractContextManager[None]:
    """Turns any exception of a task's ``memory`` into a TaskError that says so."""
    return _inside(f"the memory of the task '{task.name}' cannot be kept in a checkpoint")


@contextlib.contextmanager
def _inside(what: str) -> Iterator[None]:
    try:
        yield
    except CollmError:
        raise
    except Exception as error:
        raise TaskError(f"{what}: {type(error).__name__}: {error}") from error
