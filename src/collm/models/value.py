"""A critic's network: a causal backbone without its language-model head, and an fp32 value head with PopArt."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from collm.models.policy import Policy

_TINY_SPREAD = 1e-4


class ValueModel(nn.Module):
    """V(history) from the last-layer state at chosen tokens.

    The head predicts normalised targets; ``mean`` and ``spread`` turn them into the task's units. When these running
    statistics move, the head is rescaled so that every value stays what it was (PopArt, arXiv 1602.07714).
    """

    mean: torch.Tensor
    second_moment: torch.Tensor
    weight: torch.Tensor

    def __init__(self, policy: Policy, outputs: int, normalise: bool) -> None:
        """Takes the policy's backbone as its own; ``outputs`` is 1 for a team reward, else one per agent."""
        super().__init__()
        self.backbone: Any = policy.model.base_model
        self.normalise = normalise
        width = policy.model.config.get_text_config().hidden_size
        self.head = nn.utils.skip_init(nn.Linear, width, outputs, dtype=torch.float32)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        for name in ("mean", "second_moment", "weight"):
            self.register_buffer(name, torch.zeros(outputs, dtype=torch.float64))

    @property
    def spread(self) -> torch.Tensor:
        """Running standard deviation of the targets; 1 before any were seen."""
        if not self.normalise or float(self.weight.max()) == 0:
            return torch.ones_like(self.mean)
        return (self.second_moment - self.mean**2).clamp_min(_TINY_SPREAD**2).sqrt()

    def forward(self, tokens: torch.Tensor, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """(places, outputs): normalised values at (row, position) places of a padded batch of token ids."""
        states = self.backbone(input_ids=tokens, use_cache=False).last_hidden_state
        return self.head(states[rows, positions].float())

    def in_units(self, normalised: torch.Tensor) -> torch.Tensor:
        """Values in the task's units."""
        return normalised.double() * self.spread + self.mean

    def in_norm(self, targets: torch.Tensor) -> torch.Tensor:
        """Targets as the head should predict them."""
        return ((targets.double() - self.mean) / self.spread).float()

    @torch.no_grad()
    def observe(self, targets: torch.Tensor, rate: float = 0.1) -> None:
        """Move the running statistics towards a batch of targets (places, outputs), preserving all values."""
        if not self.normalise or len(targets) == 0 or not bool(torch.isfinite(targets).all()):
            return
        old_mean, old_spread = self.mean.clone(), self.spread.clone()
        self.weight.mul_(1 - rate).add_(rate)
        step = rate / self.weight
        self.mean.lerp_(targets.double().mean(0), step)
        self.second_moment.lerp_(targets.double().square().mean(0), step)
        scale = old_spread / self.spread
        self.head.weight.mul_(scale[:, None].float())
        self.head.bias.copy_((self.head.bias.double() * scale + (old_mean - self.mean) / self.spread).float())
