"""Batched decoding with the key/value cache carried from turn to turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from collm.models.cache import RowCache
from collm.models.policy import Policy
from collm.rollout.distribution import draw
from collm.rollout.networks import network_of
from collm.rollout.sampling import Sampling

_SWEEP = 8
"""The batch is made smaller once at least one in this many of its rows would leave it."""


@dataclasses.dataclass(frozen=True)
class Response:
    """One sampled response."""

    tokens: list[int]
    """Including its end-of-turn mark, if one was sampled."""
    logprobs: np.ndarray
    """(tokens,) float32, of the sampling distribution."""


class Session:
    """The histories that policies continue during a rollout: one cache row per history, one batch for all.

    The cache has a part for each model of the session's network; a row stays in its own part, where live rows come first.
    A session lives within one rollout, between two updates: its cache is stamped with the versions of the weights that
    wrote it, and continuing it after an update raises RuntimeError.
    """

    def __init__(self, policies: Sequence[Policy], sampling: Sampling, uniforms: Any) -> None:
        """``policies`` has one per row. ``uniforms(row, turn)`` returns the row's ``max_new_tokens`` uniform numbers for a
        turn."""
        self.policies = list(policies)
        self.sampling, self.uniforms = sampling, uniforms
        self.versions = [policy.version for policy in policies]
        self.device = policies[0].device
        self.stop_ids, self.pad_id = policies[0].stop_ids, policies[0].pad_id
        self.network, part = network_of(policies)
        self.row_at = _seated(part, part.max() + 1)
        """(parts, slots): which row each cache slot holds; −1: none."""
        self.part = part
        self.cache = RowCache(policies[0].layers, self.row_at.size, 0, self.device)
        self.lengths = np.zeros(len(policies), dtype=np.int64)
        self.unread = np.full(len(policies), -1, dtype=np.int64)
        """Each row's last sampled token, which the cache does not hold yet."""

    def known(self, row: int) -> int:
        """Tokens of a row's history that the session was given or has sampled."""
        return int(self.lengths[row]) + int(self.unread[row] >= 0)

    @torch.inference_mode()
    def respond(self, rows: Sequence[int], observations: Sequence[Sequence[int]], turn: int) -> list[Response]:
        """Append one observation to each of these rows and sample their responses. All rows in one batch."""
        logits, live = self._read(rows, observations)
        drawn = np.zeros((*live.shape, self.sampling.max_new_tokens))
        for place in zip(*np.nonzero(live), strict=True):
            drawn[place] = self.uniforms(int(self.row_at[place]), turn)
        tokens, logprobs, lengths = self._decode(logits, torch.from_numpy(drawn).to(self.device), live)
        return [Response(tokens[row, : lengths[row]].tolist(), logprobs[row, : lengths[row]].copy()) for row in rows]

    @torch.inference_mode()
    def read(self, rows: Sequence[int], observations: Sequence[Sequence[int]]) -> None:
        """Append one observation to each of these rows, which nobody will answer."""
        self._read(rows, observations)
        self.unread[list(rows)] = -1

    @torch.inference_mode()
    def branch(self, parents: Sequence[int]) -> None:
        """The session's rows become copies: row r continues the history of what was row ``parents[r]``."""
        origin = np.array(parents, dtype=np.int64)
        slot_of = np.zeros(len(self.lengths), dtype=np.int64)
        slots = np.flatnonzero(self.row_at.ravel() >= 0)
        slot_of[self.row_at.ravel()[slots]] = slots
        self.part = self.part[origin]
        self.network.branch(parents)
        self.row_at = _seated(self.part, len(self.row_at))
        sources = np.where(self.row_at >= 0, slot_of[origin[self.row_at.clip(0)]], 0)
        self.cache.gather(self._tensor(sources.ravel()))
        self.lengths, self.unread = self.lengths[origin], self.unread[origin]

    def memory(self, row: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(layers,) the keys and values of a row: (heads, tokens read so far, head size) each, without copying."""
        slot, length = int(np.flatnonzero(self.row_at.ravel() == row)[0]), int(self.lengths[row])
        return [(layer.keys[slot, :, :length], layer.values[slot, :, :length]) for layer in self.cache.layers]

    def _read(self, rows: Sequence[int], observations: Sequence[Sequence[int]]) -> tuple[torch.Tensor, np.ndarray]:
        """Bring these rows forward and read their new tokens: logits (parts, slots, vocabulary) behind the last ones, and
        which slots hold one of the rows."""
        if [policy.version for policy in self.policies] != self.versions:
            raise RuntimeError("the policy was updated during a rollout; begin a new session.")
        fresh = {
            row: [*([self.unread[row]] if self.unread[row] >= 0 else []), *observation]
            for row, observation in zip(rows, observations, strict=True)
        }
        longest = self.lengths[list(rows)].max() + max(map(len, fresh.values()))
        # One more than the longest row that may be written to, because slots of rows that wait are computed along.
        self.cache.reserve(max(int(longest) + self.sampling.max_new_tokens, int(self.lengths.max())) + 1)
        live = self._bring_forward(np.isin(self.row_at, rows))
        return self._prefill(fresh, live), live

    def _bring_forward(self, wanted: np.ndarray) -> np.ndarray:
        """Rearrange the cache so that wanted slots (parts, slots) are the first of their parts. Returns which are wanted
        among the slots that are left of it: (parts, as many as the largest part needs)."""
        counts = wanted.sum(1)
        ones, others = [], []
        for part, count in enumerate(counts):
            first = part * self.row_at.shape[1]
            ones += (first + np.flatnonzero(~wanted[part, :count])).tolist()
            others += (first + count + np.flatnonzero(wanted[part, count:])).tolist()
        self._swap(np.array(ones, dtype=np.int64), np.array(others, dtype=np.int64))
        return np.arange(counts.max()) < counts[:, None]

    def _swap(self, one: np.ndarray, other: np.ndarray) -> None:
        """Exchange the contents of cache slots."""
        if not len(one):
            return
        targets, sources = np.concatenate([one, other]), np.concatenate([other, one])
        self.cache.move(self._tensor(targets), self._tensor(sources))
        flat = self.row_at.ravel()
        flat[targets] = flat[sources]

    def _forward(self, tokens: torch.Tensor, positions: np.ndarray) -> torch.Tensor:
        """States (parts, slots, new tokens, width of the model) of the leading slots."""
        rows = self.row_at[:, : tokens.shape[1]]
        positions = positions.clip(max=self.cache.capacity - 1)
        self.cache.width = int(positions.max()) + 1
        return self.network.states(tokens, self._tensor(positions), self.cache, rows)

    def _prefill(self, fresh: dict[int, list[int]], live: np.ndarray) -> torch.Tensor:
        """Read the new tokens of each live slot; logits (parts, slots, vocabulary) of the first response token."""
        rows = self.row_at[:, : live.shape[1]]
        longest = max(map(len, fresh.values()))
        tokens = np.full((*live.shape, longest), self.pad_id, dtype=np.int64)
        last = np.zeros(live.shape, dtype=np.int64)
        for place in zip(*np.nonzero(live), strict=True):
            new = fresh[int(rows[place])]
            tokens[place][: len(new)] = new
            last[place] = len(new) - 1
        positions = self._lengths_at(rows)[..., None] + np.arange(longest)
        states = self._forward(self._tensor(tokens), positions)
        self.lengths[rows[live]] += last[live] + 1
        behind = self._tensor(last)[..., None, None].expand(-1, -1, 1, states.shape[-1])
        return self.network.logits(states.gather(2, behind)[:, :, 0])

    def _lengths_at(self, rows: np.ndarray) -> np.ndarray:
        """The lengths of rows, 0 where there is none."""
        return np.where(rows >= 0, self.lengths[rows.clip(0)], 0)

    def _decode(
        self, logits: torch.Tensor, uniforms: torch.Tensor, going: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sample until every live row has ended or hit the limit; results are indexed by row, not by slot.

        A row's last token is not read here: it is prefilled with the next observation, if there is one.
        """
        total, limit = len(self.lengths), self.sampling.max_new_tokens
        tokens = np.zeros((total, limit), dtype=np.int64)
        logprobs = np.zeros((total, limit), dtype=np.float32)
        lengths = np.zeros(total, dtype=np.int64)
        for step in range(limit):
            drawn, scores = draw(logits.flatten(0, 1), uniforms[..., step].flatten(), self.sampling)
            picked = drawn.cpu().numpy().reshape(going.shape)
            rows = self.row_at[:, : going.shape[1]]
            live = rows[going]
            tokens[live, step] = picked[going]
            logprobs[live, step] = scores.float().cpu().numpy().reshape(going.shape)[going]
            lengths[live] = step + 1
            self.unread[live] = picked[going]
            going = going & ~np.isin(picked, self.stop_ids)
            if not going.any() or step == limit - 1:
                break
            if (going.shape[1] - going.sum(1).max()) * _SWEEP >= going.shape[1]:
                picked, uniforms, going = self._sweep(picked, uniforms, going)
                rows = self.row_at[:, : going.shape[1]]
            states = self._forward(self._tensor(picked[..., None]), self._lengths_at(rows)[..., None])
            self.lengths[rows[going]] += 1
            logits = self.network.logits(states[:, :, 0])
        return tokens, logprobs, lengths

    def _sweep(
        self, picked: np.ndarray, uniforms: torch.Tensor, going: np.ndarray
    ) -> tuple[np.ndarray, torch.Tensor, np.ndarray]:
        """Move finished rows behind the live ones of their part, and leave them out of the batch."""
        at = self.row_at.copy()
        wanted = np.zeros(at.shape, dtype=bool)
        wanted[:, : going.shape[1]] = going
        live = self._bring_forward(wanted)
        slot_of = {int(row): slot for part in at for slot, row in enumerate(part) if row >= 0}
        came = np.array([[slot_of.get(int(row), 0) for row in part] for part in self.row_at[:, : live.shape[1]]])
        parts = np.arange(len(at))[:, None]
        return picked[parts, came], uniforms[self._tensor(parts), self._tensor(came)], live

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def _seated(part: np.ndarray, parts: int) -> np.ndarray:
    """(parts, slots): the rows of each part in order, −1 behind them."""
    counts = np.bincount(part, minlength=parts)
    seats = np.full((parts, counts.max()), -1)
    for number, count in enumerate(counts):
        seats[number, :count] = np.flatnonzero(part == number)
    return seats
