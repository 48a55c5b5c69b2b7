"""LoRA adapters of several agents and critics on one frozen base, and batches in which every row has its own.

The layers are peft's; only their forward pass is ours. Of a mixed batch peft takes the rows of each adapter apart, layer by
layer. Here all adapters are one wide adapter: x goes through every A side by side, what is not of the row's own adapter
is set to 0, and one product with every B adds up the rest. That is two thin matrix products, however many adapters.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from collm.errors import ModelError
from collm.models.settings import WeightSettings
from collm.randomness import Key, integer

_LINEAR = (nn.Linear, Conv1D)
"""Layers that adapters know; the weights of GPT-2's are the other way round."""


class Choice:
    """Which adapter speaks in the next pass: none, one for all rows, or one for each row."""

    def __init__(self) -> None:
        self.one: str | None = None
        self.names: tuple[str, ...] = ()
        """Adapters of a mixed batch; empty if it is not mixed."""
        self.own: torch.Tensor | None = None
        """(rows, 1, adapters): 1 where a row's own adapter stands."""
        self.stamp: object = None
        """Another object whenever the weights of the mixed adapters may have changed."""
        self._rows: list[str | None] = []

    def only(self, name: str | None) -> None:
        """All rows speak through this adapter, or through the base alone."""
        self.one, self.names, self.own = name, (), None

    def each(self, names: list[str | None], stamp: object, device: torch.device) -> None:
        """Row r speaks through adapter ``names[r]``. As long as ``stamp`` is the same object, so are their weights."""
        if len(set(names)) == 1:
            self.only(names[0])
            return
        if self.own is None or names != self._rows:
            self.names = tuple(sorted({name for name in names if name is not None}))
            own = torch.tensor([[float(name == one) for one in self.names] for name in names], device=device)
            self.own, self._rows = own[:, None], names
        self.one, self.stamp = None, stamp


class MixedLinear(Linear):
    """A linear layer with adapters, of which its model's ``Choice`` says who speaks."""

    choice: Choice
    _kept: tuple[tuple[str, ...], object, tuple[torch.Tensor, torch.Tensor] | None] = ((), None, None)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        found: torch.Tensor = self.base_layer(x, *args, **kwargs)
        choice = self.choice
        if choice.own is not None:
            down, up = self._wide(choice)
            rank = len(down) // len(choice.names)
            heard = choice.own.repeat_interleave(rank, dim=2)
            return found + functional.linear(functional.linear(x.to(down.dtype), down) * heard, up).to(found.dtype)
        if choice.one is None:
            return found
        down, up = self.lora_A[choice.one].weight, self.lora_B[choice.one].weight
        low = functional.linear(x.to(down.dtype), down)
        return found + (functional.linear(low, up) * self.scaling[choice.one]).to(found.dtype)

    def _wide(self, choice: Choice) -> tuple[torch.Tensor, torch.Tensor]:
        """All adapters of the batch side by side: (adapters · rank, in) and (out, adapters · rank)."""
        if torch.is_grad_enabled():
            return self._joined(choice.names)
        names, stamp, wide = self._kept
        if wide is None or names != choice.names or stamp is not choice.stamp:
            wide = self._joined(choice.names)
            self._kept = (choice.names, choice.stamp, wide)
        return wide

    def _joined(self, names: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            torch.cat([self.lora_A[name].weight for name in names]),
            torch.cat([self.lora_B[name].weight * self.scaling[name] for name in names], 1),
        )


def linear_names(model: Any, targets: Sequence[str]) -> list[str]:
    """The full names of the linear layers that get adapters. Raises ModelError if a target matches none."""
    head = model.get_output_embeddings()
    linears = [name for name, module in model.named_modules() if isinstance(module, _LINEAR) and module is not head]
    if not linears:
        raise ModelError("the model has no linear layers that adapters know. Set weights.train = full.")
    if tuple(targets) == ("all-linear",):
        return linears
    missing = [t for t in targets if not any(name == t or name.endswith(f".{t}") for name in linears)]
    if missing or not targets:
        ends = ", ".join(sorted({name.rpartition(".")[2] for name in linears}))
        raise ModelError(
            f"weights.targets: {', '.join(missing) or 'the empty list'} matches no linear layer of the model. Its linear "
            f"layers: {ends}; or all-linear."
        )
    return [name for name in linears if any(name == t or name.endswith(f".{t}") for t in targets)]


def add_adapter(
    model: Any, choice: Choice, name: str, layers: Sequence[str], settings: WeightSettings, key: tuple[Key, ...]
) -> dict[str, nn.Parameter]:
    """Give these layers one more adapter, which adds nothing until it is trained; returns its parameters by name.

    The global random state is not touched: A is drawn from ``key``, B is 0.
    """
    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=list(layers), lora_dropout=0.0)
    config._register_custom_module(dict.fromkeys(_LINEAR, MixedLinear))
    config.fan_in_fan_out = all(isinstance(model.get_submodule(layer), Conv1D) for layer in layers)
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`")
        torch.manual_seed(integer(*key))
        inject_adapter_in_model(config, model, adapter_name=name)
    found: dict[str, nn.Parameter] = {}
    for place, module in model.named_modules():
        if isinstance(module, MixedLinear):
            module.eval().choice = choice
            for part, weights in (("A", module.lora_A[name]), ("B", module.lora_B[name])):
                weights.weight.data = weights.weight.data.float()
                found[f"{place}.lora_{part}"] = weights.weight
    trained |= {id(parameter) for parameter in found.values()}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    return found


def merged(model: Any, name: str) -> Any:
    """A copy of the model whose weights have this adapter's part in them, and which has no adapters."""
    own = copy.deepcopy(model)
    for place, module in list(own.named_modules()):
        if isinstance(module, MixedLinear):
            module.merge(adapter_names=[name])
            own.set_submodule(place, module.get_base_layer())
    return own.requires_grad_(False)
