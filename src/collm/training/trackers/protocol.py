"""What a tracker is told of a run, and what it has to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from collm.training.metrics import to_plain


@dataclasses.dataclass(frozen=True)
class About:
    """The run that is tracked."""

    folder: Path
    project: str
    group: str
    """Task and method: what runs with different seeds have in common."""
    id: str
    """Kept in the run's folder, so that a resumed run is the same one."""
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.folder.resolve().name


class Tracker(Protocol):
    """One place where a run is shown. It is made empty and told everything again whenever a run is resumed."""

    def __init__(self, about: About) -> None:
        """Begin to show a run, without anything that was shown of it before where the library can take that back."""

    @staticmethod
    def check() -> None:
        """Raise ConfigError if this cannot work as the machine is set up. Nothing has been written by then."""

    def numbers(self, values: Mapping[str, float], update: int, env_steps: int) -> None:
        """Show numbers at a place of the x-axis. Places come in order, and one may come twice, with other names."""

    def pictures(self, paths: Mapping[str, Path], update: int, env_steps: int) -> None:
        """Show pictures, likewise."""

    def finish(self) -> None:
        """Send what was not sent, and end."""


def flat(value: Any, where: str = "") -> dict[str, float]:
    """One name per number: {"policy": {"kl": 0.1}, "contribution": [0.4]} is {"policy/kl": 0.1, "contribution/0": 0.4}.

    What ``metrics.jsonl`` holds as null, and text, is left out.
    """
    if isinstance(value, bool):
        return {}
    if isinstance(value, (int, float)):
        return {where: value}
    if isinstance(value, Mapping):
        parts = [flat(inner, f"{where}/{key}") for key, inner in value.items()]
    elif isinstance(value, list):
        parts = [flat(inner, f"{where}/{index}") for index, inner in enumerate(value)]
    else:
        parts = []
    return {name.removeprefix("/"): number for part in parts for name, number in part.items()}


def numbers_of(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record, as the line of ``metrics.jsonl`` has them."""
    return flat(to_plain(record, lambda _: None))
