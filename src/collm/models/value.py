"""A critic's network: a causal backbone without its language-model head, and fp32 value heads with normalised targets."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import nn

from collm.models.policy import Policy

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
        """Takes the policy's backbone as its own; one that is ``shared`` with the policy is only read."""
        super().__init__()
        backbone: Any = policy.model.base_model
        self.own_backbone = None if shared else backbone
        self._read = (backbone,)
        width = policy.model.config.get_text_config().hidden_size
        self.head = ValueHead(width, outputs, scale, actions).to(policy.device)

    def states(self, tokens: torch.Tensor, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """(places, width): last-layer states at (row, position) places of a padded batch of token ids."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.own_backbone is not None):
            return self._read[0](input_ids=tokens, use_cache=False).last_hidden_state[rows, positions]

    def copy(self) -> ValueModel:
        """A slow copy of this network, without gradients."""
        return copy.deepcopy(self).requires_grad_(False)

    def follow(self, leader: ValueModel, rate: float) -> None:
        """Move a slow copy towards its leader; 1 makes it equal."""
        if self.own_backbone is not None and leader.own_backbone is not None:
            follow(self.own_backbone, leader.own_backbone, rate)
        self.head.follow(leader.head, rate)


@torch.no_grad()
def follow(slow: nn.Module, leader: nn.Module, rate: float) -> None:
    """Move the parameters of a slow copy towards its leader's."""
    for own, other in zip(slow.parameters(), leader.parameters(), strict=True):
        own.lerp_(other, rate)
