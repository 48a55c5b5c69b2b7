"""Protocols: who answers when within a turn, over any task's roles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from collm.errors import unknown_name
from collm.rollout.talk import Stages


def _together(agents: int) -> Stages:
    return [tuple(range(agents))]


def _in_order(agents: int) -> Stages:
    return [(agent,) for agent in range(agents)]


def _twice(agents: int) -> Stages:
    """A lone agent has nobody to discuss with."""
    return _together(agents) * (2 if agents > 1 else 1)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A way of working together that trains nothing."""

    name: str
    summary: str
    stages: Callable[[int], Stages]
    """From the number of agents."""
    single: bool = False
    """One model writes all roles, in the task's single-agent form."""


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("raw", "one model writes all roles", _together, single=True),
        Protocol("parallel", "every agent answers its own observation; no talk", _together),
        Protocol("pipeline", "agents answer in order; each reads the answers before its own", _in_order),
        Protocol("discussion", "everybody drafts, reads all drafts and answers again", _twice),
    )
}


def find_protocol(name: str) -> Protocol:
    """The protocol of this name. Raises ConfigError, naming the nearest one, if there is none."""
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
