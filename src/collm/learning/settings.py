"""The settings of credit and learning. Every field is also a flag and a YAML key."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from collm.credit.normalisation import Normalisation
from collm.options import Range

PolicyLoss = Literal["policy-gradient", "clip-token", "clip-sequence"]


@dataclasses.dataclass(frozen=True)
class CreditSettings:
    """From rewards and values to advantages."""

    gamma: Annotated[float, Range(0, 1)] | None = None
    """Discount per turn; by default the task's own."""
    lam: Annotated[float, Range(0, 1)] = 0.95
    """λ of TD(λ); 0 is the paper's one-step error, 1 the Monte-Carlo return against the critic. With critic.kind = q it is
    that of the targets only."""
    target_lam: Annotated[float, Range(0, 1)] | None = None
    """λ of the critic's targets: 0 is TD(0), 1 the Monte-Carlo return; by default the same as lam."""
    normalise: Normalisation = "batch"
    """Advantages as they are (none), divided by their root mean square over the batch (scale), or centred and scaled
    over the batch, per agent and turn (seat: released actor-critic), or within each group (group: released Monte
    Carlo, biased)."""


@dataclasses.dataclass(frozen=True)
class PolicySettings:
    """The policy update."""

    lr: Annotated[float, Range(0, 1, open_low=True)] = 3e-4
    """Learning rate of AdamW, one optimiser per agent. The default is for tiny; models of billions of parameters
    want a hundredth of it or less."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Whether the learning rate stays or falls to a tenth over the budget of env steps."""
    lr_warmup_updates: Annotated[int, Range(0)] = 2
    """Updates over which the learning rate rises to its value: AdamW's first steps are as long as any, and blind."""
    loss: PolicyLoss = "clip-token"
    """The paper's loss (one epoch), or the clipped ratio per token or per response."""
    clip: Annotated[float, Range(0, 10, open_low=True)] = 0.2
    """How far a ratio may move from 1 before it is clipped."""
    importance_cap: Annotated[float, Range(0, open_low=True)] | None = None
    """Where another engine plays: weigh each token (clip-sequence: each response) by π/π_engine, at most this, with π the
    learner's before the update; the clipped ratio is then taken to π. 2 is usual; null for no weights."""
    length: Literal["sum", "mean", "tokens"] = "sum"
    """A response's tokens count as their sum (the macro-action's log-probability; the exact gradient), as their mean
    (short responses weigh more; with clip-sequence the ratio is the geometric mean), or every token of the batch alike."""
    kl: Literal["none", "reward", "loss"] = "none"
    """KL to the model the run started from: taken off the reward (k1 = d), or added to the loss (k2 = d²/2), with
    d = log π − log π_ref per sampled token."""
    kl_coefficient: Annotated[float, Range(0)] = 0.05
    """Weight of that KL per nat: in reward units in the reward; in the loss beside the advantages, normalised as they
    are."""
    entropy: Annotated[float, Range(0)] = 0.0
    """Weight of the entropy bonus, per token of a response."""
    epochs: Annotated[int, Range(1, 100)] = 1
    """Passes over each batch."""
    minibatches: Annotated[int, Range(1, 1024)] = 3
    """Optimiser steps per pass."""
    max_grad_norm: Annotated[float, Range(0, open_low=True)] | None = 1.0
    """Gradient-norm clipping, per agent; null for none."""
    weight_decay: Annotated[float, Range(0, 1)] = 0.0
    """Weight decay of AdamW."""
    gradient_signal: bool = False
    """Log how much the gradients of an update's minibatches have in common; takes the memory of one more gradient."""


@dataclasses.dataclass(frozen=True)
class CriticSettings:
    """The critic and its update."""

    kind: Literal["v", "q"] = "v"
    """V(h): advantages from the rewards and V. Or V and Q(h, a): the advantage is Q − V."""
    encoding: Literal["auto", "time-order", "prompts", "caches", "state"] = "auto"
    """How a critic reads histories: in order of time, one pass for all turns; as the released code does, the agents'
    prompts one behind the other, again at every turn; or by a value query over the agents' own key/value caches, where
    nothing is encoded again (they stay in memory until the update is done). auto: caches for linear rollouts of one small
    model, time-order for everything else. state: a small network that reads no history but the task's own state (its score
    and components so far, and the turn); one of a single agent is told the state that this agent's actions alone would have
    made, and what its observations say in numbers. Measured with critic.epochs 8 and critic.lr 3e-3."""
    backbone: Literal["separate", "policy"] = "separate"
    """A network of its own, or a value head on the policy's states, learned in the policy's own steps (only for a critic
    of one agent's own history; critic.epochs and critic.minibatches are then those of the warm-up)."""
    model: str | None = None
    """What a critic of its own starts from: a name or folder as for --model, smaller or larger than the policies; by
    default the model of its (first) agent. One of another model reads text, never caches."""
    coefficient: Annotated[float, Range(0, open_low=True)] = 1.0
    """Factor of the value loss."""
    normalise: Literal["popart", "running", "none"] = "popart"
    """Value targets by their running mean and spread, with the values kept where they were when these move (popart) or
    not (running); or in the task's units. A new critic says 0 at first, with popart until it has learned the mean, with
    running until it has seen a batch."""
    target: Literal["none", "hard", "polyak"] = "none"
    """Make targets with a slow copy of the critic: copied every target_every updates, or following by target_rate."""
    target_every: Annotated[int, Range(1)] = 4
    """Updates between copies of a hard target network."""
    target_rate: Annotated[float, Range(0, 1, open_low=True)] = 0.2
    """How far a Polyak target network follows per update."""
    lr: Annotated[float, Range(0, 1, open_low=True)] = 1e-3
    """Learning rate of AdamW."""
    epochs: Annotated[int, Range(1, 100)] = 1
    """Passes over each batch."""
    minibatches: Annotated[int, Range(1, 1024)] = 6
    """Optimiser steps per pass."""
    warmup_updates: Annotated[int, Range(0)] = 0
    """Updates in which only the critic learns, before the policies move. A new critic says the same of all
    histories: advantages that are centred over the batch do not feel that after one turn, and little after several."""
    max_grad_norm: Annotated[float, Range(0, open_low=True)] | None = 1.0
    """Gradient-norm clipping; null for none."""
    weight_decay: Annotated[float, Range(0, 1)] = 0.0
    """Weight decay of AdamW."""
