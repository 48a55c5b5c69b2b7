"""Tasks: the protocol, the registry and the built-in tasks. Nothing here imports torch."""

from collm.tasks.functions import from_functions
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
