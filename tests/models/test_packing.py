"""A packed pass against one pass per sequence: states and gradients."""

from __future__ import annotations

import pytest
import torch

from collm.learning.shared import Trie, grown
from collm.models.loading import load_policies
from collm.models.policy import Policy
from collm.models.settings import WeightSettings

SEQUENCES = [[5, 6, 7, 8, 9, 10], [5, 6, 7, 8, 11], [5, 6, 7, 12, 13, 14, 15, 16], [20], [20, 21, 22], [5, 6, 7]]
CUTS = [[3, 4, 6], [3, 4, 5], [3, 7, 8], [1], [1, 3], [3]]
"""Ragged pieces, a level with pieces of one token only among them."""


def states_of(policy: Policy, trie: Trie | None) -> list[torch.Tensor]:
    """(tokens, width) of every sequence."""
    if trie is None:
        return [policy.hidden(torch.tensor([sequence]))[0] for sequence in SEQUENCES]
    states = trie.states(policy)
    return [states[trie.place(i, torch.arange(len(one)).numpy())] for i, one in enumerate(SEQUENCES)]


@pytest.mark.parametrize("settings", [{}, {"checkpointing": True}, {"precision": "bf16"}, {"train": "lora"}], ids=str)
def test_a_packed_pass_is_one_pass_per_sequence(settings: dict[str, object]) -> None:
    policy = load_policies("tiny", 1, settings=WeightSettings(**settings))[0]
    if settings.get("precision") == "bf16":
        tolerance, slack = 0.2, 0.2
    else:
        tolerance, slack = 1e-4, 1e-3
    assert policy.base.packs
    found = []
    for trie in (None, grown(SEQUENCES, CUTS)):
        policy.model.zero_grad()
        states = states_of(policy, trie)
        sum((state * (1 + i)).float().sin().sum() for i, state in enumerate(states)).backward()  # type: ignore[union-attr]
        gradients = torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None])
        found.append((torch.cat(states).detach().float(), gradients / gradients.norm()))
    assert float(found[0][1].norm()) > 0.9
    torch.testing.assert_close(found[1][0], found[0][0], atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(found[1][1], found[0][1], atol=slack, rtol=slack)


def test_distinct_tokens_are_read_once() -> None:
    assert grown(SEQUENCES, CUTS).tokens == 3 + 1 + 1 + 4 + 2 + 1 + 1 + 2
