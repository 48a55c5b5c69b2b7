"""How much of a policy's gradient is signal: what the gradients of different minibatches have in common."""

from __future__ import annotations

import numpy as np
import torch


class GradientSignal:
    """Squared norms of the gradients g_k of an update's minibatches, and inner products of neighbours.

    Minibatches share no episode, so E[g_k · g_k+1] = ‖E g‖² up to what one step moves; E‖g_k‖² is that plus the variance. A
    step along g_k takes part of what was chance in it away again: with large steps and much noise the share is below 0.
    """

    def __init__(self) -> None:
        self._last: tuple[dict[int, torch.Tensor], float] | None = None
        self._squares: list[float] = []
        self._products: list[float] = []

    def see(self, model: torch.nn.Module, norm: float, max_norm: float | None) -> None:
        """Take in the gradient of a step that was clipped at ``max_norm`` and had ``norm`` before."""
        # The tensors are kept, not copied: the optimiser lets go of them after its step.
        gradients = {n: one.grad for n, one in enumerate(model.parameters()) if one.grad is not None}
        scale = 1.0 if max_norm is None else max(1.0, norm / max_norm)
        if self._last is not None:
            before, other = self._last
            # What one of the two minibatches does not reach (an expert, say) has a gradient of 0 there.
            both = gradients.keys() & before.keys()
            products = [torch.dot(gradients[n].flatten(), before[n].flatten()).item() for n in sorted(both)]
            self._products.append(scale * other * sum(products))
        self._squares.append(norm**2)
        self._last = gradients, scale

    @property
    def share(self) -> float | None:
        """‖E g‖² / E‖g‖² of a minibatch's gradient: 1 without noise, about 0 where there is nothing else; an estimate, which
        may be below 0. None for fewer than two minibatches, or without any gradient."""
        if not self._products or not np.mean(self._squares) > 0:
            return None
        return float(np.mean(self._products) / np.mean(self._squares))
