"""Score vectors of responses, ∇ log π(response | history), squeezed into a few hundred numbers that keep inner products.

A gradient estimate is Σ A·∇ℓ over responses, linear in the advantages: with ∇ℓ of every response at hand, any estimator
costs a matrix product. Parameter j is added to number j mod width with a random sign (a count sketch with fixed
places), so that inner products of sketches are those of the gradients in expectation, over the signs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from collm.learning.logprobs import score
from collm.models.policy import Policy
from collm.randomness import Key, generator
from collm.rollout.forest import Forest


class Sketch:
    """Fixed random signs for one model's trained parameters."""

    def __init__(self, policy: Policy, width: int, key: tuple[Key, ...]) -> None:
        self.width = width
        self.parameters = [one for one in policy.own.parameters() if one.requires_grad]
        count = sum(one.numel() for one in self.parameters)
        self.padding = -count % width
        bits = generator(*key).integers(0, 256, (count + 7) // 8, dtype=np.uint8)
        signs = 2.0 * np.unpackbits(bits)[:count].astype(np.float32) - 1.0
        self.signs = torch.from_numpy(signs).to(policy.device)

    def of(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """(width,): the sketch of one gradient."""
        flat = torch.cat([one.reshape(-1).float() for one in gradients]) * self.signs
        return torch.nn.functional.pad(flat, (0, self.padding)).view(-1, self.width).sum(0)


def sketched_scores(
    policies: Sequence[Policy], forest: Forest, temperature: float, width: int, key: tuple[Key, ...]
) -> np.ndarray:
    """(decisions, width): the sketch of ∇ℓ of every response, by the weights of the agent that gave it.

    One backward pass per response; each agent's sketch has signs of its own.
    """
    found = np.zeros((len(forest.decisions), width), dtype=np.float32)
    for agent, policy in enumerate(policies):
        sketch = Sketch(policy, width, (*key, agent))
        own = [index for index, decision in enumerate(forest.decisions) if decision.agent == agent]
        # A budget of one token: one transcript per pass, and its turns one after the other.
        for scored in score(policy, forest, own, temperature, token_budget=1):
            for place, index in enumerate(scored.decisions):
                response = scored.logprobs[scored.owner == place].sum()
                more = place + 1 < len(scored.decisions)
                gradients = torch.autograd.grad(response, sketch.parameters, retain_graph=more, allow_unused=True)
                whole = [
                    torch.zeros_like(parameter) if gradient is None else gradient
                    for gradient, parameter in zip(gradients, sketch.parameters, strict=True)
                ]
                found[index] = sketch.of(whole).cpu().numpy()
    return found
