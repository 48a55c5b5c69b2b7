"""Tasks: the protocol, the registry and the built-in tasks. Nothing here imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collm.tasks.protocol import (
    SPLITS,
    JointAction,
    Message,
    Move,
    Observation,
    Problem,
    Split,
    Start,
    Step,
    Task,
    replay,
)
from collm.tasks.registry import make_task, task_class, task_names

if TYPE_CHECKING:
    from collm.tasks.functions import from_functions

__all__ = [
    "SPLITS",
    "JointAction",
    "Message",
    "Move",
    "Observation",
    "Problem",
    "Split",
    "Start",
    "Step",
    "Task",
    "from_functions",
    "make_task",
    "replay",
    "task_class",
    "task_names",
]


def __getattr__(name: str) -> Any:
    # It needs numpy, which programs in the sandbox have not.
    if name != "from_functions":
        raise AttributeError(f"module 'collm.tasks' has no attribute {name!r}")
    from collm.tasks.functions import from_functions

    return from_functions
