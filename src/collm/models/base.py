"""A causal language model that one or several policies and critics use, and the adapters that tell them apart."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from collm.models import attention
from collm.models.adapters import Choice, add_adapter, linear_names, merged
from collm.models.chat import ChatFormat
from collm.models.settings import WeightSettings
from collm.randomness import Key

SLIDING = "sliding_attention"
"""The library's name for a layer that sees a window."""
_SCALES = ("logit_scale", "logits_scaling", "final_logit_softcapping")
"""What the library's configurations call a factor, a divisor and a bound of logits."""
SMALL = 30_000_000
"""Parameters of networks whose copies, caches and passes are little memory."""


class Base:
    """A model and its chat format. What speaks through it is either the model itself or an adapter on it."""

    def __init__(self, model: Any, chat: ChatFormat, settings: WeightSettings = WeightSettings()) -> None:
        self.model, self.chat, self.settings = model, chat, settings
        self.config: Any = model.config.get_text_config()
        self.trunk: Any = model.base_model
        """The model without its output layer."""
        self.autocast = False
        """Whether passes compute in bf16, whatever the weights are kept in."""
        self.adapters: dict[str, dict[str, nn.Parameter]] = {}
        self._choice = Choice()
        self._layers: list[str] = []
        self._recomputed: list[Any] = self._with_recomputing() if settings.checkpointing else []

    @property
    def device(self) -> torch.device:
        return next(self.trunk.parameters()).device

    @property
    def small(self) -> bool:
        """Whether a second copy of its weights, or all caches of an update, are little memory."""
        return sum(parameter.numel() for parameter in self.trunk.parameters()) <= SMALL

    @property
    def window(self) -> int | None:
        """How far back its layers see, or some of them do; None if all see everything."""
        found: int | None = getattr(self.config, "sliding_window", None)
        kinds = getattr(self.config, "layer_types", None)
        slides = getattr(self.config, "use_sliding_window", True) if kinds is None else SLIDING in kinds
        return found if slides else None

    @property
    def packs(self) -> bool:
        """Whether its attention can be told which tokens see which: it is the library's interface, and nowhere a window."""
        named = self.config._attn_implementation == attention.NAME
        return named and bool(self.trunk._supports_attention_backend) and self.window is None

    def add_adapter(self, name: str, key: tuple[Key, ...]) -> None:
        """One more adapter, which changes nothing until it is trained. The base is frozen from then on."""
        if not self.adapters:
            self._layers = linear_names(self.model, self.settings.targets)
            self.model.requires_grad_(False)
        self.adapters[name] = add_adapter(self.model, self._choice, name, self._layers, self.settings, key)

    def headless(self) -> Base:
        """The same weights without the output layer, which critics do not need."""
        other = copy.copy(self)
        other.model = None
        return other

    def copy(self) -> Base:
        """Other weights with the same values, without the output layer."""
        other = self.headless()
        other.trunk = copy.deepcopy(self.trunk)
        other._recomputed = []
        return other

    def merged(self, adapter: str) -> Base:
        """A model of its own with this adapter's part added to the weights, and no adapters."""
        model = merged(self.model, adapter)
        other = Base(model, self.chat, dataclasses.replace(self.settings, checkpointing=False))
        other.autocast = self.autocast
        return other

    def hidden(self, adapter: str | list[str | None] | None, stamp: object = None, **inputs: Any) -> torch.Tensor:
        """Last-layer states (rows, tokens, width). ``adapter`` is one name for all rows, or a list with one per row; as
        long as ``stamp`` is the same object, so are the weights of the adapters in a list."""
        if isinstance(adapter, list):
            self._choice.each(adapter, stamp, self.device)
        else:
            self._choice.only(adapter)
        with self._numbers(), self._recomputing(inputs.get("past_key_values") is None):
            return self.trunk(**inputs).last_hidden_state

    @property
    def output(self) -> nn.Parameter | None:
        """The matrix that logits are products with, where they are that and nothing more, in fp32."""
        head, config = self.model.get_output_embeddings(), self.config
        scaled = any(getattr(config, name, None) for name in _SCALES)
        plain = type(head) is nn.Linear and head.bias is None and not scaled and not self.autocast
        return head.weight if plain and head.weight.dtype == torch.float32 else None

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (…, vocabulary) at chosen states."""
        with self._numbers():
            logits: torch.Tensor = self.model.get_output_embeddings()(hidden)
        return self._scaled(logits)

    def _scaled(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits as the library's models have them: some families multiply, divide or bound them."""
        factor, divisor, bound = (getattr(self.config, name, None) for name in _SCALES)
        if factor:
            logits = logits * factor
        if divisor:
            logits = logits / divisor
        return bound * torch.tanh(logits / bound) if bound else logits

    def _with_recomputing(self) -> list[Any]:
        enable = getattr(self.model, "activation_checkpointing_enable", self.model.gradient_checkpointing_enable)
        enable({"use_reentrant": False})
        return [module for module in self.trunk.modules() if isinstance(module, GradientCheckpointingLayer)]

    def _numbers(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16) if self.autocast else contextlib.nullcontext()

    @contextlib.contextmanager
    def _recomputing(self, learning: bool) -> Iterator[None]:
        """Gradient checkpointing in passes that learn: the layers ask for their training flag; what is in them keeps its
        own, so that nothing is dropped out."""
        layers = self._recomputed if learning and torch.is_grad_enabled() else []
        for layer in layers:
            layer.training = True
        try:
            yield
        finally:
            for layer in layers:
                layer.training = False


def weights_hash(model: Any) -> str:
    """A short SHA-256 over the names, shapes and bytes of a model's weights, adapters left out: which model a result
    started from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(plain_weights(model).items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def plain_weights(model: Any) -> dict[str, torch.Tensor]:
    """A model's weights by their names in a checkpoint, adapters left out."""
    named: dict[str, torch.Tensor] = model.state_dict()
    return {name.replace(".base_layer.", "."): tensor for name, tensor in named.items() if ".lora_" not in name}
