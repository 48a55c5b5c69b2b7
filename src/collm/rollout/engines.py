"""Which engine plays: the library's own decoding, or vLLM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from collm.errors import unknown_name
from collm.models.policy import Policy
from collm.rollout.engine import Response, Session
from collm.rollout.networks import tables
from collm.rollout.sampling import Sampling

Uniforms = Callable[[int, int], np.ndarray]
"""(row, turn) → the uniform numbers that the row's response is drawn with."""


class Histories(Protocol):
    """The histories of a rollout that an engine continues: one row per history."""

    def known(self, row: int) -> int: ...

    def respond(self, rows: Sequence[int], observations: Sequence[Sequence[int]], turn: int) -> list[Response]: ...

    def read(self, rows: Sequence[int], observations: Sequence[Sequence[int]]) -> None: ...

    def branch(self, parents: Sequence[int]) -> None: ...

    def memory(self, row: int) -> list[Any]: ...


class Engine(Protocol):
    """What turns observations into responses."""

    def tables(self, policies: Sequence[Policy]) -> list[list[int]]:
        """The agents, in groups that play in one session."""
        ...

    def session(self, policies: Sequence[Policy], sampling: Sampling, uniforms: Uniforms) -> Histories:
        """The empty histories of a rollout; ``policies`` has one per row, all of one of those groups."""
        ...

    def close(self) -> None:
        """Give back what the engine holds; it is not used any more."""
        ...


class HfEngine:
    """Our own decoding with the models that learn."""

    def tables(self, policies: Sequence[Policy]) -> list[list[int]]:
        return tables(policies)

    def session(self, policies: Sequence[Policy], sampling: Sampling, uniforms: Uniforms) -> Histories:
        return Session(policies, sampling, uniforms)

    def close(self) -> None:
        """It holds nothing."""


HF = HfEngine()


def make_engine(name: str, team: Sequence[Policy], device: str, max_history: int | None, cache_gib: float) -> Engine:
    """The engine of this name for a team; vLLM starts when it is first asked to play.

    ``cache_gib`` is the size of vLLM's key/value cache, per base model. Raises ConfigError if the engine is not installed,
    or cannot play here.
    """
    if name == "hf":
        return HF
    if name != "vllm":
        raise unknown_name("engine", name, ("hf", "vllm"))
    # Loaded only when asked for: vLLM is no part of the base installation.
    from collm.rollout.vllm_engine import VllmEngine

    return VllmEngine(team, device, max_history, cache_gib)
