"""What :func:`collm.tasks.from_functions` is given, and what of it is refused before any row is read."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from collm.errors import ConfigError, unknown_name
from collm.tasks.protocol import Message
from collm.tasks.registry import BUILT_IN
from collm.tasks.rows import Row

Prompt = str | Sequence[Message | Mapping[str, str]]
"""A user message, or several messages with ``role`` (system or user) and ``content``."""
Responses = tuple[str, ...]
"""One response per agent."""
Reward = float | Sequence[float] | Mapping[str, float]
"""For the team, one per agent, or named components: their ``reward``, or their sum if none of them is called so."""
Bound = float | Callable[[Row], float]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclasses.dataclass(frozen=True)
class Functions:
    """What :func:`from_functions` was given."""

    prompts: tuple[Callable[[Row], Prompt], ...]
    reward: Callable[[Responses, Row], Reward]
    ceiling: Bound
    floor: Bound | None
    transition: Callable[[Row, tuple[Responses, ...], int], Sequence[Prompt] | None] | None
    turns: int
    pays: Literal["change", "each"]
    gamma: float
    best: Callable[[Row], Sequence[str]] | None
    single: Callable[[str], Sequence[str]] | None
    single_prompt: Callable[[Row], Prompt] | None


def check_name(name: Any) -> None:
    """Raise ConfigError for a name that could not stand in configurations, folders and commands."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"name = {name!r:.80}: must be letters, digits, '-', '_' and '.', a letter or digit first, such as 'my-task'."
        )
    if name in BUILT_IN:
        raise ConfigError(f"name = '{name}' is a built-in task; choose one other than {', '.join(sorted(BUILT_IN))}.")


def check_prompts(prompts: Any) -> None:
    """Raise ConfigError for anything but a list of functions."""
    if not isinstance(prompts, Sequence) or isinstance(prompts, str) or not all(map(callable, prompts)):
        raise ConfigError(f"prompts = {prompts!r:.80}: must be a list with one function per agent.")
    if not prompts:
        raise ConfigError("prompts is empty: give one function per agent.")


def check_settings(given: Functions) -> None:
    """Raise ConfigError for values that are not allowed, and for settings that do not go together."""
    _check_values(given)
    if given.turns > 1 and given.transition is None:
        raise ConfigError(f"turns = {given.turns} needs transition=, which says what agents see at later turns.")
    if given.turns == 1 and given.transition is not None:
        raise ConfigError("transition= means something only with several turns. Set turns=, or leave it out.")
    if given.pays not in ("change", "each"):
        raise unknown_name("value for pays", given.pays, ("change", "each"))
    if given.single_prompt is not None and given.single is None:
        raise ConfigError("single_prompt= means something only with single=, which splits what the one writer wrote.")


def _check_values(given: Functions) -> None:
    if type(given.turns) is not int or given.turns < 1:
        raise ConfigError(f"turns = {given.turns!r:.80}: must be a whole number of at least 1.")
    if not _is_finite(given.gamma) or not 0 <= given.gamma <= 1:
        raise ConfigError(f"gamma = {given.gamma!r:.80}: must be a number from 0 to 1.")
    for name, bound in (("ceiling", given.ceiling), ("floor", given.floor)):
        if not callable(bound) and not _is_finite(bound) and (name, bound) != ("floor", None):
            raise ConfigError(f"{name} = {bound!r:.80}: must be a finite number, or a function of the row.")
    if not callable(given.reward):
        raise ConfigError(f"reward = {given.reward!r:.80}: must be a function of responses and row.")
    for name in ("transition", "best", "single", "single_prompt"):
        value = getattr(given, name)
        if value is not None and not callable(value):
            raise ConfigError(f"{name} = {value!r:.80}: must be a function, or left out.")


def _is_finite(value: Any) -> bool:
    try:
        return not isinstance(value, (bool, str)) and math.isfinite(value)
    except TypeError:
        return False
