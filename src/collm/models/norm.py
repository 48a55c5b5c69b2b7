"""Root-mean-square normalisation in few passes over memory, with its gradient; the library's takes several times as many."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_KNOWN = ("Qwen3RMSNorm", "Qwen2RMSNorm", "LlamaRMSNorm")


class RMSNorm(nn.Module):
    """w · x / √(mean(x²) + ε) over the last dimension, in fp32; the result has the type of x."""

    def __init__(self, weight: nn.Parameter, epsilon: float) -> None:
        super().__init__()
        self.weight = weight
        self.epsilon = epsilon

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(…, width) → (…, width)."""
        if states.device.type == "cpu" and states.dtype == self.weight.dtype == torch.float32:
            found: torch.Tensor = _Scaled.apply(states, self.weight, self.epsilon)
            return found
        wide = states.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return self.weight * wide.to(states.dtype)


def inverse_rms(states: torch.Tensor, epsilon: float) -> torch.Tensor:
    """(…, width) → (…, 1): 1 / √(mean(x²) + ε), without gradient."""
    norm = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
    return norm.square_().div_(states.shape[-1]).add_(epsilon).rsqrt_()


def with_fast_norms(model: nn.Module) -> nn.Module:
    """The model with its norms replaced by these, where they compute the same; parameters and their names stay."""
    for name, module in list(model.named_modules()):
        if type(module).__name__ in _KNOWN:
            model.set_submodule(name, RMSNorm(module.weight, module.variance_epsilon))
    return model


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        inverse = inverse_rms(states, epsilon)
        normalised = states * inverse
        ctx.save_for_backward(normalised, inverse, weight)
        return normalised * weight

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        normalised, inverse, weight = ctx.saved_tensors
        product = (grad * normalised).flatten(0, -2)
        of_weight = product.sum(0) if ctx.needs_input_grad[1] else None
        along = torch.mv(product, weight).view(inverse.shape).div_(weight.numel())
        return (grad * weight).addcmul_(normalised, along, value=-1).mul_(inverse), of_weight, None
