"""CoLLM: train teams of language models that work together without talking to each other while they run.

>>> import collm
>>> config = collm.resolve("str-build", preset="quick")
>>> summary = collm.train(config, out="runs/mine")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collm.tasks import Task, make_task

if TYPE_CHECKING:
    from collm.config import TrainConfig, resolve
    from collm.evaluation.evaluate import evaluate
    from collm.tasks.zoo import as_parallel_env, from_parallel_env
    from collm.training.load import load_team
    from collm.training.run import resume, train

__version__ = "0.1.0"
__all__ = [
    "Task",
    "TrainConfig",
    "as_parallel_env",
    "evaluate",
    "from_parallel_env",
    "load_team",
    "make_task",
    "resolve",
    "resume",
    "train",
]

# What needs torch, or PettingZoo, is imported when it is first asked for, so that tasks can be used without it.
_LATER = {
    "TrainConfig": "collm.config",
    "resolve": "collm.config",
    "as_parallel_env": "collm.tasks.zoo",
    "evaluate": "collm.evaluation.evaluate",
    "from_parallel_env": "collm.tasks.zoo",
    "load_team": "collm.training.load",
    "resume": "collm.training.run",
    "train": "collm.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'collm' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LATER[name]), name)
