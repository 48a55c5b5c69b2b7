"""Named sets of defaults. Values are merged over the dataclasses' own defaults and under files and flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collm.errors import unknown_name

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "quick": {
        "task": {"turns": 3, "min_length": 2, "max_length": 2, "train_size": 320, "test_size": 128},
        "env_steps": 5760,
        "sampling": {"max_new_tokens": 32},
        "evaluation": {"every": 5},
    },
}


def preset_values(preset: str, task: str, method: str) -> Mapping[str, Any]:
    """What a preset sets for a task and method. Raises ConfigError, naming the nearest one, if there is none."""
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    return PRESETS[preset]
