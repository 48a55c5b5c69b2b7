"""A critic's network that reads no text: from a few numbers about the state to values."""

from __future__ import annotations

import copy

import torch
from torch import nn

from collm.models.value import TargetScale, ValueHead, follow
from collm.randomness import Key, integer

WIDTH = 64


class StateModel(nn.Module):
    """V(state): two hidden layers of 64 over numbers of any size, of which signed logarithms are taken."""

    def __init__(self, numbers: int, outputs: int, scale: TargetScale, key: tuple[Key, ...]) -> None:
        """For states of so many ``numbers``; weights are drawn from ``key``, and the global random state is not touched."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer(*key))
            self.body = nn.Sequential(nn.Linear(numbers, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.GELU())
        self.head = ValueHead(WIDTH, outputs, scale, actions=False)

    def states(self, numbers: torch.Tensor) -> torch.Tensor:
        """(places, numbers) → (places, width)."""
        found: torch.Tensor = self.body(numbers.sign() * numbers.abs().log1p())
        return found

    def copy(self) -> StateModel:
        """A slow copy of this network, without gradients."""
        return copy.deepcopy(self).requires_grad_(False)

    def follow(self, leader: StateModel, rate: float) -> None:
        """Move a slow copy towards its leader; 1 makes it equal."""
        follow(self.body, leader.body, rate)
        self.head.follow(leader.head, rate)
