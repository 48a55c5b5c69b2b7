"""One agent's policy: a base model, or an adapter on one that others share, in a chat format; nothing of training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from collm.models.base import Base


class Policy:
    """A causal LM that answers in a chat format.

    ``version`` counts the updates of the weights, so that a cache written by other weights is never continued.
    """

    def __init__(self, base: Base, adapter: str | None = None) -> None:
        """``adapter`` is the name of the base's adapter that is this policy's own; None: the whole base is."""
        self.base, self.adapter = base, adapter
        self.chat = base.chat
        self.version = 0
        self.stop_ids, self.pad_id = base.chat.stop_ids, base.chat.pad_id
        self.layers: int = base.config.num_hidden_layers

    @property
    def model(self) -> Any:
        """The causal LM underneath."""
        return self.base.model

    @property
    def device(self) -> torch.device:
        return self.base.device

    @property
    def context(self) -> int:
        """Greatest number of tokens of a history."""
        return int(self.base.config.max_position_embeddings)

    @property
    def own(self) -> nn.Module:
        """The weights that are this policy's own and no other's."""
        return own_weights(self.base, self.adapter)

    def hidden(self, tokens: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Last-layer states (rows, tokens, width) of a padded batch; no logits are built."""
        return self.base.hidden(self.adapter, input_ids=tokens, use_cache=False, **inputs)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (…, vocabulary) at chosen states."""
        return self.base.logits(hidden)


def notes(policies: Sequence[Policy]) -> list[str]:
    """What the user of these models should know."""
    return list(dict.fromkeys(line for policy in policies for line in policy.chat.notes))


def copies(policies: Sequence[Policy]) -> list[Policy]:
    """A team with the same weights that shares none with this one; what is shared within it stays so."""
    return copy.deepcopy(list(policies), {id(policy.chat): policy.chat for policy in policies})


def own_weights(base: Base, adapter: str | None) -> nn.Module:
    """A module of what belongs to one user of a base: an adapter's parameters, or the whole model (or its trunk)."""
    if adapter is None:
        return base.trunk if base.model is None else base.model
    # A parameter's name may not contain a dot.
    return nn.ParameterDict({name.replace(".", "/"): one for name, one in base.adapters[adapter].items()})
