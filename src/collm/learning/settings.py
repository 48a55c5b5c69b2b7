"""The settings of credit and learning. Every field is also a flag and a YAML key."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from collm.options import Range


@dataclasses.dataclass(frozen=True)
class CreditSettings:
    """From rewards and values to advantages."""

    gamma: Annotated[float, Range(0, 1)] | None = None
    """Discount per turn; by default the task's own."""
    lam: Annotated[float, Range(0, 1)] = 0.5
    """λ of TD(λ); 0 is the paper's one-step error, 1 the Monte-Carlo return against the critic."""
    normalise: bool = True
    """Centre and scale advantages over the whole batch."""


@dataclasses.dataclass(frozen=True)
class PolicySettings:
    """The policy update."""

    lr: Annotated[float, Range(0, 1, open_low=True)] = 8e-4
    """Learning rate of AdamW, one optimiser per agent. The default is for tiny; models of billions of parameters
    want a hundredth of it or less."""
    schedule: Literal["constant", "linear"] = "linear"
    """Whether the learning rate stays or falls to a tenth over the budget of env steps."""
    lr_warmup_updates: Annotated[int, Range(0)] = 2
    """Updates over which the learning rate rises to its value: AdamW's first steps are as long as any, and blind."""
    loss: Literal["policy-gradient", "clip-token", "clip-sequence"] = "clip-token"
    """The paper's loss (one epoch), or the clipped ratio per token or per response."""
    clip: Annotated[float, Range(0, 10, open_low=True)] = 0.2
    """How far a ratio may move from 1 before it is clipped."""
    epochs: Annotated[int, Range(1, 100)] = 1
    """Passes over each batch."""
    minibatches: Annotated[int, Range(1, 1024)] = 3
    """Optimiser steps per pass."""
    max_grad_norm: Annotated[float, Range(0, open_low=True)] = 1.0
    """Gradient-norm clipping, per agent."""
    weight_decay: Annotated[float, Range(0, 1)] = 0.0
    """Weight decay of AdamW."""


@dataclasses.dataclass(frozen=True)
class CriticSettings:
    """The critic and its update."""

    lr: Annotated[float, Range(0, 1, open_low=True)] = 1e-3
    """Learning rate of AdamW."""
    epochs: Annotated[int, Range(1, 100)] = 1
    """Passes over each batch."""
    minibatches: Annotated[int, Range(1, 1024)] = 6
    """Optimiser steps per pass."""
    warmup_updates: Annotated[int, Range(0)] = 2
    """Updates in which only the critic learns, before the policies move."""
    normalise: bool = True
    """Running normalisation of value targets (PopArt)."""
    max_grad_norm: Annotated[float, Range(0, open_low=True)] = 1.0
    """Gradient-norm clipping."""
    weight_decay: Annotated[float, Range(0, 1)] = 0.0
    """Weight decay of AdamW."""
