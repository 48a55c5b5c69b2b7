"""Which tasks exist: the built-in ones and those that installed packages offer under the entry point ``collm.tasks``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from collm.errors import ConfigError, unknown_name
from collm.options import check, from_mapping, to_mapping
from collm.tasks.protocol import Task

ENTRY_POINT_GROUP = "collm.tasks"
BUILT_IN = {
    "arxiv": "collm.tasks.writing.arxiv:Arxiv",
    "coop-he": "collm.tasks.coding.coop_he:CoopHe",
    "house-build": "collm.tasks.minecraft.house_build:HouseBuild",
    "str-build": "collm.tasks.minecraft.str_build:StrBuild",
    "tldr": "collm.tasks.writing.tldr:Tldr",
}


def task_names() -> list[str]:
    """All task names, built-in and third-party, sorted."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})


def task_class(name: str) -> type[Task] | Task:
    """The class of a task, or the task itself where a package offers an object.

    Raises ConfigError, naming the nearest task, if there is none.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        kind: type[Task] = getattr(importlib.import_module(module), attribute)
        return kind
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            return _loaded(entry)
    raise unknown_name("task", name, task_names())


def _loaded(entry: Any) -> type[Task] | Task:
    try:
        found = entry.load()
    except Exception as error:
        raise ConfigError(f"the task '{entry.name}' ({entry.value}) cannot be loaded: {error}") from error
    if isinstance(found, Task) or (isinstance(found, type) and issubclass(found, Task)):
        return found
    raise ConfigError(f"the task '{entry.name}' ({entry.value}) is not a subclass of collm.Task, or an object of one.")


def default_options(name: str) -> Any:
    """The options of a task before anybody sets them; of an object, its own."""
    found = task_class(name)
    return found.options if isinstance(found, Task) else found.Options()


def require_registered(name: str, what: str) -> None:
    """Raise ConfigError if no package offers a task of this name; ``what`` says where the object must be passed."""
    if name not in task_names():
        raise ConfigError(
            f"the task '{name}' is not one that a package offers, so it was an object. Pass the same one: {what}; or make "
            f"it a name of every command by an entry point in the group '{ENTRY_POINT_GROUP}'."
        )


def require_same(task: Task, options: Any) -> None:
    """Raise ConfigError if a task that is an object has not these options: it cannot take others."""
    if task.options != options:
        mine, others = to_mapping(task.options), to_mapping(options)
        changed = [
            f"{key} = {others.get(key)!r} instead of {mine[key]!r}" for key in mine if others.get(key) != mine[key]
        ]
        raise ConfigError(
            f"the task '{task.name}' is an object, whose options are fixed, and it is asked for with {', '.join(changed)}. "
            "Use the object that the configuration was made from."
        )


def make_task(name: str, options: Any = None, **values: Any) -> Task:
    """Build a task from its name and options, e.g. ``make_task("str-build", turns=2, world="persistent")``.

    ``options`` may be a mapping or the task's own options dataclass; keyword arguments override it. Raises ConfigError
    for unknown names (with the nearest valid one) and for values out of range.
    """
    kind, default = task_class(name), default_options(name)
    if options is None or isinstance(options, Mapping):
        merged: Any = from_mapping(kind.Options, {**(options or {}), **values}, "task.", default)
    else:
        if not isinstance(options, kind.Options):
            raise ConfigError(f"the task '{name}' takes {kind.Options.__name__}, not {type(options).__name__}.")
        merged = from_mapping(kind.Options, values, "task.", options)
    check(merged, "task.")
    if isinstance(kind, Task):
        require_same(kind, merged)
        return kind
    return kind(merged)  # type: ignore[call-arg]


def single_form(task: Task, needed_by: str, instead: str) -> Task:
    """The task with one agent that writes all roles; a task for one agent is that already.

    Raises ConfigError, saying what needs the form and what to use ``instead``, if there is none.
    """
    try:
        return task.single_agent()
    except NotImplementedError as error:
        if task.agents == 1:
            return task
        raise ConfigError(f"{error}, which '{needed_by}' needs. Use {instead}.") from error
