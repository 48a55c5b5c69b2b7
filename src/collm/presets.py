"""Named sets of defaults, put together from what belongs to the method, to the task, and to the preset itself.

Values are merged over the dataclasses' own defaults and under files and flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collm.errors import unknown_name
from collm.methods import Method, method

_SUMMARIES = {
    "default": "the settings behind the published curves",
    "quick": "the same on small problems: minutes on two processor cores",
    "paper": "the released optimisation settings and rewards, with our histories and masks",
}
PRESETS = tuple(_SUMMARIES)

_QUICK_STR_BUILD = {
    "task": {"turns": 3, "min_length": 2, "max_length": 2, "train_size": 320, "test_size": 128},
    "env_steps": 5760,
    "evaluation": {"every": 5},
}
_QUICK_TOKENS = 32
"""Token limit of one response in the quick StrBuild."""


def preset_values(preset: str, task: str, method_name: str) -> dict[str, Any]:
    """What a preset sets for a task and method. Raises ConfigError, naming the nearest one, if there is none."""
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    chosen = method(method_name)
    if preset == "paper":
        return merged(chosen.paper, _paper(task, chosen))
    return merged(chosen.default, _quick(task, chosen) if preset == "quick" else {})


def _quick(task: str, chosen: Method) -> Mapping[str, Any]:
    """One writer of all roles needs the tokens of all roles."""
    if task != "str-build":
        return {}
    return merged(_QUICK_STR_BUILD, {"sampling": {"max_new_tokens": _QUICK_TOKENS * (2 if chosen.single else 1)}})


def _paper(task: str, chosen: Method) -> Mapping[str, Any]:
    """The released settings of a task (METHODS, table of released settings)."""
    if task != "str-build":
        return {}
    own: dict[str, Any] = {"policy": {"lr": 5e-6}, "rollout": {"samples": 2}}
    if chosen.critic:
        own = {"policy": {"lr": 2.5e-6}, "critic": {"lr": 2.5e-6}}
    task_values = {
        "turns": 4,
        "world": "fresh",
        "source": "released",
        "show_target": "none",
        "feedback": "position",
        "max_commands": 150,
    }
    sampling = {"temperature": 0.6, "top_p": 0.6, "max_new_tokens": 512}
    return merged({"task": task_values, "sampling": sampling, "env_steps": 4800}, own)


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings, later ones over earlier ones."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            nested = isinstance(value, Mapping)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value) if nested else value
    return result
