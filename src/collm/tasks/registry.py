"""Which tasks exist: the built-in ones and those that installed packages offer under the entry point ``collm.tasks``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from collm.errors import ConfigError, unknown_name
from collm.options import check, from_mapping
from collm.tasks.protocol import Task

ENTRY_POINT_GROUP = "collm.tasks"
BUILT_IN = {
    "arxiv": "collm.tasks.writing.arxiv:Arxiv",
    "str-build": "collm.tasks.minecraft.str_build:StrBuild",
    "tldr": "collm.tasks.writing.tldr:Tldr",
}


def task_names() -> list[str]:
    """All task names, built-in and third-party, sorted."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})


def task_class(name: str) -> type[Task]:
    """The class of a task. Raises ConfigError, naming the nearest task, if there is none."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            return _loaded(entry)
    raise unknown_name("task", name, task_names())


def _loaded(entry: Any) -> type[Task]:
    try:
        cls = entry.load()
    except Exception as error:
        raise ConfigError(f"the task '{entry.name}' ({entry.value}) cannot be loaded: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise ConfigError(f"the task '{entry.name}' ({entry.value}) is not a subclass of collm.Task.")
    return cls


def make_task(name: str, options: Any = None, **values: Any) -> Task:
    """Build a task from its name and options, e.g. ``make_task("str-build", turns=2, world="persistent")``.

    ``options`` may be a mapping or the task's own options dataclass; keyword arguments override it. Raises ConfigError
    for unknown names (with the nearest valid one) and for values out of range.
    """
    cls = task_class(name)
    if options is None or isinstance(options, Mapping):
        merged: Any = from_mapping(cls.Options, {**(options or {}), **values}, "task.")
    else:
        if not isinstance(options, cls.Options):
            raise ConfigError(f"the task '{name}' takes {cls.Options.__name__}, not {type(options).__name__}.")
        merged = from_mapping(cls.Options, values, "task.", options)
    check(merged, "task.")
    return cls(merged)  # type: ignore[call-arg]
