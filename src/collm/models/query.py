"""A value query over the agents' own key/value caches: nothing that an agent has read is encoded again."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from collm.models.policy import Policy
from collm.models.value import TargetScale, ValueHead, follow, reader

LayerCache = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one layer and one history: (heads, tokens, head size) each."""


@dataclasses.dataclass(frozen=True)
class Query:
    """One value to be read: from which joint history of the batch, and how much of each agent's history it sees."""

    row: int
    seen: tuple[int, ...]
    """(agents,) tokens."""


class QueryModel(nn.Module):
    """A backbone through which one learned token passes, attending to the caches that the agents' policies wrote.

    Keys and values of different agents are told apart by a learned shift per layer and agent. The caches carry no
    gradient: policies do not learn from the critic.
    """

    def __init__(self, policy: Policy, agents: int, outputs: int, scale: TargetScale, actions: bool) -> None:
        super().__init__()
        self.reader = reader(policy)
        # The token that ends a message stands where a model sums up what it has read.
        start = policy.model.get_input_embeddings().weight[policy.chat.end_of_turn]
        self.query = nn.Parameter(start.detach().float().clone())
        heads, size = cache_shape(policy)
        self.shifts = nn.Parameter(torch.zeros(2, policy.layers, agents, heads, size, device=policy.device))
        self.head = ValueHead(policy.base.config.hidden_size, outputs, scale, actions).to(policy.device)

    def states(self, caches: Sequence[Sequence[Sequence[LayerCache]]], queries: Sequence[Query]) -> torch.Tensor:
        """(queries, width): the query token's last state. ``caches`` is (rows, agents, layers)."""
        pasts, agent, place = _joined(caches)
        rows, total = agent.shape
        slots = [0] * rows
        where = []
        for query in queries:
            where.append((query.row, slots[query.row]))
            slots[query.row] += 1
        device, width = self.query.device, max(slots)
        seen = torch.zeros(rows, width, len(caches[0]), dtype=torch.long)
        for (row, slot), query in zip(where, queries, strict=True):
            seen[row, slot] = torch.tensor(query.seen)
        index = torch.tensor(where, device=device)
        mask = place[:, None, :] < seen.gather(2, agent.clamp_min(0)[:, None, :].expand(-1, width, -1))
        mask &= (agent >= 0)[:, None, :]
        mask = torch.cat([mask, torch.eye(width, dtype=torch.bool).expand(rows, -1, -1)], 2)[:, None].to(device)
        agent = agent.clamp_min(0).to(device)
        memory = _Memory(
            [
                tuple(
                    (past.to(device) + shift[agent].transpose(1, 2)).to(past.dtype)
                    for past, shift in zip(layer, shifts, strict=True)
                )
                for layer, shifts in zip(pasts, self.shifts.transpose(0, 1), strict=True)
            ],
            total + width,
        )
        states = self.reader(
            inputs_embeds=self.query.expand(rows, width, -1),
            position_ids=seen.amax(2).to(device),
            attention_mask=mask,
            past_key_values=memory,
            use_cache=True,
        )
        return states[index[:, 0], index[:, 1]]

    def copy(self) -> QueryModel:
        """A slow copy of this network, without gradients."""
        return copy.deepcopy(self, {id(self.reader): self.reader.copy()}).requires_grad_(False)

    @torch.no_grad()
    def follow(self, leader: QueryModel, rate: float) -> None:
        """Move a slow copy towards its leader; 1 makes it equal."""
        follow(self.reader, leader.reader, rate)
        self.query.lerp_(leader.query, rate)
        self.shifts.lerp_(leader.shifts, rate)
        self.head.follow(leader.head, rate)


@torch.no_grad()
def cache_shape(policy: Policy) -> tuple[int, int]:
    """Heads and head size of the keys that a policy writes."""
    cache = DynamicCache()
    first = torch.full((1, 1), policy.pad_id, device=policy.device)
    policy.base.hidden(policy.adapter, input_ids=first, past_key_values=cache, use_cache=True)
    _, heads, _, size = cache.layers[0].keys.shape
    return heads, size


@torch.no_grad()
def _joined(
    caches: Sequence[Sequence[Sequence[LayerCache]]],
) -> tuple[list[LayerCache], torch.Tensor, torch.Tensor]:
    """The agents' caches side by side: per layer (rows, heads, tokens, size), and each token's agent (−1: padding) and
    place in its agent's history, both (rows, tokens)."""
    lengths = [[agent[0][0].shape[1] for agent in row] for row in caches]
    total = max(sum(row) for row in lengths)
    agent = torch.full((len(caches), total), -1)
    place = torch.zeros(len(caches), total, dtype=torch.long)
    heads, _, size = caches[0][0][0][0].shape
    layers = len(caches[0][0])
    joined = caches[0][0][0][0].new_zeros(layers, 2, len(caches), heads, total, size)
    for row, histories in enumerate(caches):
        start = 0
        for number, (history, length) in enumerate(zip(histories, lengths[row], strict=True)):
            agent[row, start : start + length] = number
            place[row, start : start + length] = torch.arange(length)
            for layer, pair in enumerate(history):
                for kind, tensor in enumerate(pair):
                    joined[layer, kind, row, :, start : start + length] = tensor
            start += length
    return [(layer[0], layer[1]) for layer in joined], agent, place


class _MemoryLayer(CacheLayerMixin):
    """Keys and values that are there already, in front of those of the query."""

    def __init__(self, past: Any, width: int) -> None:
        super().__init__()
        self.keys, self.values = past
        self.width = width
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the memory came with its contents."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.cat([self.keys, key_states], 2), torch.cat([self.values, value_states], 2)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.width, 0

    def get_seq_length(self) -> int:
        return self.width

    def get_max_length(self) -> int:
        return self.width

    get_maxcache_shape = get_max_length


class _Memory(Cache):
    """The memory of all layers, read once."""

    def __init__(self, pasts: Sequence[Any], width: int) -> None:
        super().__init__(layers=[_MemoryLayer(past, width) for past in pasts])
