"""The reference policy: the model the run started from, and the KL to it as a part of the reward."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from collm.learning.logprobs import score
from collm.models.policy import Policy
from collm.rollout.forest import Forest


@torch.no_grad()
def reference_logprobs(
    references: Sequence[Policy], forest: Forest, temperature: float, token_budget: int
) -> list[np.ndarray]:
    """(decisions,) of (tokens,): log π_ref of every response's tokens. ``references`` has one policy per agent."""
    found: list[np.ndarray] = [np.zeros(0, dtype=np.float32)] * len(forest.decisions)
    for policy in {id(reference): reference for reference in references}.values():
        mine = [d for d, decision in enumerate(forest.decisions) if references[decision.agent] is policy]
        for scored in score(policy, forest, mine, temperature, token_budget):
            owner, logprobs = scored.owner.cpu().numpy(), scored.logprobs.cpu().numpy()
            parts = np.split(logprobs, np.flatnonzero(np.diff(owner)) + 1)
            for decision, part in zip(scored.decisions, parts, strict=True):
                found[decision] = part
    return found


def with_kl_in_reward(forest: Forest, reference: list[np.ndarray], coefficient: float, team: bool) -> Forest:
    """The forest with β·k1 taken off its rewards: k1 = Σ_k log π − log π_ref over a response's tokens (METHODS).

    A team reward loses the sum over all agents, because the team is what it pays; a reward per agent loses its own.
    """
    cost = np.array(
        [
            (decision.logprobs - own).sum(dtype=np.float64)
            for decision, own in zip(forest.decisions, reference, strict=True)
        ]
    )
    per_agent = cost[forest.decision]
    if team:
        per_agent = np.broadcast_to(per_agent.sum(1, keepdims=True), per_agent.shape)
    return dataclasses.replace(forest, rewards=forest.rewards - coefficient * per_agent)
