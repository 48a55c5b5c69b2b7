"""How well this machine lets tested code be confined."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

FULL, PARTIAL, LIMITS_ONLY = "full", "partial", "limits only"

_ALWAYS = ("limits", "memory limit", "process limit")
_FULL = (
    *_ALWAYS,
    "unprivileged",
    "no new privileges",
    "process namespace",
    "network namespace",
    "ipc namespace",
    "mount namespace",
    "private root",
    "landlock",
    "seccomp",
)
_BEYOND = ("user namespace", "host name namespace")
"""Layers that make others possible or guard nothing by themselves."""

LAYERS = (*_FULL, *_BEYOND)
"""All layers by name."""


@dataclasses.dataclass(frozen=True)
class Level:
    """The layers that hold, each tried in a process when the sandbox started."""

    layers: tuple[str, ...]
    missing: Mapping[str, str]
    """The others, and why the system refused them."""

    @property
    def name(self) -> str:
        """``full``: every layer. ``limits only``: nothing keeps a program from files or the network. Else ``partial``."""
        if set(_FULL) <= set(self.layers):
            return FULL
        if "seccomp" in self.layers or "landlock" in self.layers or "private root" in self.layers:
            return PARTIAL
        return LIMITS_ONLY

    def __str__(self) -> str:
        lacking = ", ".join(sorted(set(_FULL) - set(self.layers)))
        return f"{self.name} ({'without ' + lacking if lacking else ', '.join(_FULL)})"


def from_layers(outcome: Mapping[str, str]) -> Level:
    """The level from what a worker says of each layer ("" if it holds, else why not)."""
    holding = tuple(name for name in LAYERS if outcome.get(name) == "")
    return Level(holding, {name: outcome.get(name, "not tried") for name in LAYERS if name not in holding})


def weakest(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """A layer holds if it holds in both."""
    return {name: first.get(name) or second.get(name, "") for name in {**first, **second}}
