"""Where an exception in a task's own code happened: the one place that says it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from collm.errors import CollmError, TaskError
from collm.tasks.protocol import Problem, Task


@contextlib.contextmanager
def inside_memory(task: Task) -> Iterator[None]:
    """Turns any exception of a task's ``memory`` into a TaskError that says so."""
    try:
        yield
    except CollmError:
        raise
    except Exception as error:
        raise TaskError(
            f"the memory of the task '{task.name}' cannot be kept in a checkpoint: {type(error).__name__}: {error}"
        ) from error


@contextlib.contextmanager
def inside_task(task: Task, problem: Problem, turn: int) -> Iterator[None]:
    """Turns any exception of a task's own code into a TaskError that says where it happened."""
    try:
        yield
    except CollmError:
        raise
    except Exception as error:
        raise TaskError(
            f"the task '{task.name}' failed on problem {problem.id!r} at turn {turn} "
            f"(agents {', '.join(map(str, range(task.agents)))}): {type(error).__name__}: {error}"
        ) from error
