"""Named sets of defaults, put together from what belongs to the method, to the task, and to the preset itself.

Values are merged over the dataclasses' own defaults and under files and flags.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from collm.errors import unknown_name
from collm.methods import Method, method

_SUMMARIES = {
    "default": "our settings, chosen with other seeds than any result's (docs/results/tuning.md)",
    "quick": "the same on small problems: minutes on two processor cores",
    "paper": "the released optimisation settings and rewards, with our histories and masks",
}
PRESETS = tuple(_SUMMARIES)


@dataclasses.dataclass(frozen=True)
class Quick:
    """The quick form of a task."""

    env_steps: int
    tokens: int
    """Token limit of one response of one role; one writer of all roles needs the tokens of all roles."""
    task: Mapping[str, Any]
    single_model: str = "tiny"
    """What one model in all roles starts from; in the paper it is larger than one of a team on the writing tasks."""


_QUICK = {
    "arxiv": Quick(3072, 64, {"train_size": 320, "test_size": 128}, single_model="small"),
    "coop-he": Quick(3840, 48, {"turns": 2, "train_size": 320, "test_size": 128}),
    "house-build": Quick(6720, 56, {"size": "small", "turns": 2, "train_size": 320, "test_size": 128}),
    "str-build": Quick(4032, 32, {"turns": 3, "min_length": 2, "max_length": 2, "train_size": 320, "test_size": 128}),
    "tldr": Quick(4032, 48, {"train_size": 320, "test_size": 128}, single_model="small"),
}


def preset_values(preset: str, task: str, method_name: str) -> dict[str, Any]:
    """What a preset sets for a task and method. Raises ConfigError, naming the nearest one, if there is none."""
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    chosen = method(method_name)
    if preset == "paper":
        return merged(chosen.paper, _paper(task, chosen))
    return merged(chosen.default, _quick(task, chosen) if preset == "quick" else {})


def _quick(task: str, chosen: Method) -> Mapping[str, Any]:
    if task not in _QUICK:
        return {}
    form, roles = _QUICK[task], 2
    return {
        "task": form.task,
        "model": form.single_model if chosen.single else "tiny",
        "env_steps": form.env_steps,
        "evaluation": {"every": 5},
        "sampling": {"max_new_tokens": form.tokens * (roles if chosen.single else 1)},
    }


def _paper(task: str, chosen: Method) -> Mapping[str, Any]:
    """The released settings of a task (METHODS, table of released settings; TASKS, tables of hyper-parameters)."""
    return _PAPER[task](chosen) if task in _PAPER else {}


def _paper_building(chosen: Method, lr: float, task: Mapping[str, Any]) -> Mapping[str, Any]:
    """``lr`` is the actor-critic methods' rate; the Monte-Carlo ones have twice it and two joint actions per node."""
    own: dict[str, Any] = {"policy": {"lr": 2 * lr}, "rollout": {"samples": 2}}
    if chosen.critic:
        own = {"policy": {"lr": lr}, "critic": {"lr": lr}}
    task = {"turns": 4, "world": "fresh", "source": "released", **task}
    sampling = {"temperature": 0.6, "top_p": 0.6, "max_new_tokens": 512}
    return merged({"task": task, "sampling": sampling, "env_steps": 4800}, own)


def _paper_coding(chosen: Method) -> Mapping[str, Any]:
    """CoopHumanEval: 80 passes over 66 rows of two turns, or 8 passes over trees of 4 and 16 joint actions."""
    own: dict[str, Any] = {} if chosen.critic else {"policy": {"lr": 2e-5}}
    settings = {
        "task": {"source": "CoopHumanEval", "turns": 2},
        "sampling": {"temperature": 0.6, "top_p": 0.6, "max_new_tokens": 256},
        "rollout": {"problems": 4},
        "env_steps": 10_560,
    }
    return merged(settings, own)


def _paper_writing(chosen: Method, single_tokens: int) -> Mapping[str, Any]:
    """Rows, passes over them, problems per update and joint actions per problem differ from method to method."""
    rows = 1000 if chosen.single or chosen.critic == "own" else 1100
    if chosen.critic:
        passes, problems, samples = 4 if chosen.single else 20, 4, 1
    else:
        passes, problems, samples = (1, 2, 4) if chosen.single else (2, 1, 4)
    cautious = chosen.single and not chosen.critic
    sampling = {"temperature": 0.6, "top_p": 0.6} if cautious else {"temperature": 0.7, "top_p": 0.9}
    return {
        "task": {"source": "hub", "train_size": rows, "validation_size": rows, "test_size": rows},
        "sampling": {**sampling, "max_new_tokens": single_tokens if chosen.single else 256},
        "rollout": {"problems": problems, "samples": samples},
        "env_steps": passes * rows * samples,
    }


_PAPER: Mapping[str, Callable[[Method], Mapping[str, Any]]] = {
    "arxiv": functools.partial(_paper_writing, single_tokens=512),
    "coop-he": _paper_coding,
    "house-build": functools.partial(
        _paper_building, lr=5e-6, task={"feedback": "score", "show_target": "rectangles", "max_commands": 300}
    ),
    "str-build": functools.partial(
        _paper_building, lr=2.5e-6, task={"show_target": "none", "feedback": "position", "max_commands": 150}
    ),
    "tldr": functools.partial(_paper_writing, single_tokens=256),
}
"""Task → the released settings for a method."""


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings, later ones over earlier ones."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            nested = isinstance(value, Mapping)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value) if nested else value
    return result
