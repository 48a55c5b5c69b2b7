"""The credit of the actor-critic methods."""

from __future__ import annotations

import numpy as np

from collm.credit.estimators import Credit, normalised, per_decision, temporal_difference
from collm.rollout.forest import Forest


def actor_critic(
    forest: Forest, values: np.ndarray, bootstraps: np.ndarray, gamma: float, lam: float, normalise: bool
) -> Credit:
    """TD(λ) advantages against a critic: CoLLM-CC with V(h_t), CoLLM-DC with one column V(h_i,t) per agent.

    With one value column for the team the advantage δ_t is shared by all agents (paper: CoLLM-CC).
    """
    node_advantages, targets = temporal_difference(forest, values, bootstraps, gamma, lam)
    weights = np.ones(len(forest.decisions))
    advantages = per_decision(forest, node_advantages)
    return Credit(normalised(advantages, weights) if normalise else advantages, weights, targets)
