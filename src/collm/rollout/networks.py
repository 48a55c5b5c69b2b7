"""What a session decodes with: the library's model with its adapters, or a stack of small models of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from collm.models.base import SLIDING, Base
from collm.models.cache import RowCache
from collm.models.policy import Policy
from collm.models.stack import Stack, same_shape, stackable


class Network(Protocol):
    """The models of some agents as one. Arrays are (agents, rows, …): the leading rows of each agent's part of the cache."""

    def states(self, tokens: torch.Tensor, positions: torch.Tensor, cache: RowCache, rows: np.ndarray) -> torch.Tensor:
        """States (agents, rows, tokens, width) behind tokens at positions, both (agents, rows, tokens). ``rows`` says which
        of the session's rows they are, (agents, rows); −1: none."""
        ...

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits (agents, rows, vocabulary) at states (agents, rows, width)."""
        ...

    def branch(self, parents: Sequence[int]) -> None:
        """The session's rows become copies of these."""
        ...


class Library:
    """A model of the library for all agents at once; where they are adapters on it, every row has its own."""

    def __init__(self, base: Base, adapters: Sequence[str | None]) -> None:
        """``adapters`` has one per row of the session."""
        self.base, self.adapters = base, adapters
        self.mixed = len(set(adapters)) > 1

    def states(self, tokens: torch.Tensor, positions: torch.Tensor, cache: RowCache, rows: np.ndarray) -> torch.Tensor:
        cache.positions = positions[0]
        return self.base.hidden(
            [self.adapters[row] for row in rows[0]] if self.mixed else self.adapters[0],
            self,
            input_ids=tokens[0],
            position_ids=positions[0],
            attention_mask=self._masks(cache),
            past_key_values=cache,
            use_cache=True,
        )[None]

    def _masks(self, cache: RowCache) -> torch.Tensor | dict[str, torch.Tensor]:
        """One mask, or one for each kind of layers."""
        window = self.base.window
        if window is None:
            return cache.mask()
        if getattr(self.base.config, "layer_types", None) is None:
            return cache.mask(window)
        return {"full_attention": cache.mask(), SLIDING: cache.mask(window)}

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return self.base.logits(states[0])[None]

    def branch(self, parents: Sequence[int]) -> None:
        self.adapters = [self.adapters[parent] for parent in parents]


class Stacked:
    """A stack of models, one part of the cache for each."""

    def __init__(self, bases: Sequence[Base]) -> None:
        with torch.no_grad():
            self.stack = Stack(bases)

    def states(self, tokens: torch.Tensor, positions: torch.Tensor, cache: RowCache, rows: np.ndarray) -> torch.Tensor:
        return self.stack.states(tokens, positions, cache)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        return self.stack.logits(states)

    def branch(self, parents: Sequence[int]) -> None:
        pass


def network_of(policies: Sequence[Policy]) -> tuple[Network, np.ndarray]:
    """A network for rows with these policies, and the part of the cache that each row is in.

    Raises ValueError for policies that no network can serve together (see ``tables``).
    """
    bases = list({id(policy.base): policy.base for policy in policies}.values())
    if all(map(stackable, bases)) and all(same_shape(bases[0], base) for base in bases):
        place = {id(base): number for number, base in enumerate(bases)}
        return Stacked(bases), np.array([place[id(policy.base)] for policy in policies])
    if len(bases) > 1:
        raise ValueError("a session is one batch, and these base models differ in more than their weights.")
    return Library(bases[0], [policy.adapter for policy in policies]), np.zeros(len(policies), dtype=np.int64)


def tables(policies: Sequence[Policy]) -> list[list[int]]:
    """The agents that can play in one batch: those of one base, and those with small models of one shape whose responses end
    alike."""
    found: list[list[int]] = []
    for agent, policy in enumerate(policies):
        for agents in found:
            if _together(policies[agents[0]], policy):
                agents.append(agent)
                break
        else:
            found.append([agent])
    return found


def _together(one: Policy, other: Policy) -> bool:
    if one.base is other.base:
        return True
    alike = (one.stop_ids, one.pad_id) == (other.stop_ids, other.pad_id)
    return alike and stackable(one.base) and stackable(other.base) and same_shape(one.base, other.base)
