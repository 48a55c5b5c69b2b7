"""A critic's network: a causal backbone without its language-model head, and fp32 value heads with normalised targets."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import nn

from collm.models.base import Base
from collm.models.policy import Policy, own_weights

_TINY_SPREAD = 1e-4
TargetScale = Literal["popart", "running", "none"]


class ValueHead(nn.Module):
    """From hidden states to values. It predicts normalised targets; ``mean`` and ``spread`` turn them into the task's units.

    With ``popart``, when these running statistics move, the weights are rescaled so that every value stays what it was
    (arXiv 1602.07714); with ``running`` they are not; with ``none`` targets are predicted in the task's units.
    """

    mean: torch.Tensor
    second_moment: torch.Tensor
    weight: torch.Tensor

    def __init__(self, width: int, outputs: int, scale: TargetScale, actions: bool) -> None:
        """``outputs`` is 1 for a team reward, else one per agent; with ``actions`` there is a Q beside each V."""
        super().__init__()
        self.outputs, self.scale, self.copies = outputs, scale, 2 if actions else 1
        self.linear = nn.utils.skip_init(nn.Linear, width, outputs * self.copies, dtype=torch.float32)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        for name in ("mean", "second_moment", "weight"):
            self.register_buffer(name, torch.zeros(outputs, dtype=torch.float64))

    def forward(self, states: torch.Tensor, action: bool = False) -> torch.Tensor:
        """(places, width) → (places, outputs): normalised V, or Q where the states stand behind the actions."""
        rows = slice(self.outputs, None) if action else slice(0, self.outputs)
        return nn.functional.linear(states.float(), self.linear.weight[rows], self.linear.bias[rows])

    @property
    def spread(self) -> torch.Tensor:
        """Running standard deviation of the targets; 1 before any were seen."""
        if self.scale == "none" or float(self.weight.max()) == 0:
            return torch.ones_like(self.mean)
        return (self.second_moment - self.mean**2).clamp_min(_TINY_SPREAD**2).sqrt()

    def in_units(self, normalised: torch.Tensor) -> torch.Tensor:
        """Values in the task's units."""
        return normalised.double() * self.spread + self.mean

    def in_norm(self, targets: torch.Tensor) -> torch.Tensor:
        """Targets as the head should predict them."""
        return ((targets.double() - self.mean) / self.spread).float()

    @torch.no_grad()
    def observe(self, targets: torch.Tensor, weights: torch.Tensor, rate: float = 0.1) -> None:
        """Move the running statistics towards a batch of targets (places, outputs) with these weights (places,)."""
        if self.scale == "none" or len(targets) == 0 or not bool(torch.isfinite(targets).all()):
            return
        weight = self.weight * (1 - rate) + rate
        step = rate / weight
        share = (weights / weights.mean()).double()[:, None]
        mean = self.mean.lerp((share * targets.double()).mean(0), step)
        second_moment = self.second_moment.lerp((share * targets.double().square()).mean(0), step)
        self._use_statistics(mean, second_moment, weight)

    @torch.no_grad()
    def _use_statistics(self, mean: torch.Tensor, second_moment: torch.Tensor, weight: torch.Tensor) -> None:
        old_mean, old_spread = self.mean.clone(), self.spread.clone()
        self.mean.copy_(mean)
        self.second_moment.copy_(second_moment)
        self.weight.copy_(weight)
        if self.scale == "popart":
            scale = (old_spread / self.spread).repeat(self.copies)
            shift = ((old_mean - self.mean) / self.spread).repeat(self.copies)
            self.linear.weight.mul_(scale[:, None].float())
            self.linear.bias.copy_((self.linear.bias.double() * scale + shift).float())

    @torch.no_grad()
    def follow(self, leader: ValueHead, rate: float) -> None:
        """Move towards another head, in its statistics; 1 makes a copy."""
        self._use_statistics(leader.mean, leader.second_moment, leader.weight)
        follow(self.linear, leader.linear, rate)


class Reader(nn.Module):
    """What of a critic reads: a base's trunk or an adapter on it, as the critic's own; or those of another, which it only
    reads."""

    def __init__(self, base: Base, adapter: str | None, own: bool) -> None:
        super().__init__()
        self.backbone = own_weights(base, adapter) if own else None
        self._base = (base,)
        self.adapter = adapter

    @property
    def base(self) -> Base:
        return self._base[0]

    def forward(self, **inputs: Any) -> torch.Tensor:
        """Last-layer states (rows, tokens, width)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.backbone is not None):
            return self.base.hidden(self.adapter, **inputs)

    def copy(self) -> Reader:
        """Another reader with the same weights, without gradients; of an adapter, one more adapter on the same base."""
        if self.adapter is None:
            return Reader(self.base.copy(), None, own=True).requires_grad_(False)
        name = f"{self.adapter}-slow"
        self.base.add_adapter(name, ("adapter", name))
        twin = Reader(self.base, name, own=True)
        twin.load_state_dict(self.state_dict())
        return twin.requires_grad_(False)


def reader(policy: Policy, shared: bool = False) -> Reader:
    """A reader that takes the policy's weights as its own; one that is ``shared`` with the policy only reads."""
    whole = policy.adapter is None and not shared
    return Reader(policy.base.headless() if whole else policy.base, policy.adapter, own=not shared)


class ValueModel(nn.Module):
    """V(history) from the last-layer state at chosen tokens."""

    def __init__(
        self,
        policy: Policy,
        outputs: int,
        scale: TargetScale = "popart",
        actions: bool = False,
        shared: bool = False,
    ) -> None:
        """Takes the policy's trunk as its own; one that is ``shared`` with the policy is only read."""
        super().__init__()
        self.reader = reader(policy, shared)
        self.head = ValueHead(policy.base.config.hidden_size, outputs, scale, actions).to(policy.device)

    def states(self, tokens: torch.Tensor, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """(places, width): last-layer states at (row, position) places of a padded batch of token ids."""
        return self.reader(input_ids=tokens, use_cache=False)[rows, positions]

    def copy(self) -> ValueModel:
        """A slow copy of this network, without gradients."""
        return copy.deepcopy(self, {id(self.reader): self.reader.copy()}).requires_grad_(False)

    def follow(self, leader: ValueModel, rate: float) -> None:
        """Move a slow copy towards its leader; 1 makes it equal."""
        follow(self.reader, leader.reader, rate)
        self.head.follow(leader.head, rate)


@torch.no_grad()
def follow(slow: nn.Module, leader: nn.Module, rate: float) -> None:
    """Move the parameters of a slow copy towards its leader's."""
    for own, other in zip(slow.parameters(), leader.parameters(), strict=True):
        own.lerp_(other, rate)
