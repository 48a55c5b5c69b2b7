"""Batched decoding with the key/value cache carried from turn to turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from collm.models.cache import RowCache
from collm.models.policy import Policy
from collm.rollout.sampling import Sampling, draw

_SWEEP = 8
"""Finished rows are moved behind the live ones once they are at least one in this many."""


@dataclasses.dataclass(frozen=True)
class Response:
    """One sampled response."""

    tokens: list[int]
    """Including its end-of-turn mark, if one was sampled."""
    logprobs: np.ndarray
    """(tokens,) float32, of the sampling distribution."""


class Session:
    """The histories that policies of one base continue during a rollout: one cache row per history, one batch for all.

    A session lives within one rollout, between two updates: its cache is stamped with the versions of the weights that
    wrote it, and continuing it after an update raises RuntimeError.
    """

    def __init__(self, policies: Sequence[Policy], sampling: Sampling, uniforms: Any) -> None:
        """``policies`` has one per row. ``uniforms(row, turn)`` returns the row's ``max_new_tokens`` uniform numbers for a
        turn."""
        self.policies = list({id(policy): policy for policy in policies}.values())
        self.policy = policies[0]
        self.base = self.policy.base
        if any(policy.base is not self.base for policy in self.policies):
            raise ValueError("a session is one batch, and its policies are of several base models.")
        self.adapters = [policy.adapter for policy in policies]
        self.sampling = sampling
        self.uniforms = uniforms
        self.versions = [policy.version for policy in self.policies]
        self.device = self.policy.device
        rows = len(policies)
        self.cache = RowCache(self.policy.layers, rows, 0, self.device)
        self.lengths = np.zeros(rows, dtype=np.int64)
        self.unread = np.full(rows, -1, dtype=np.int64)
        """Each row's last sampled token, which the cache does not hold yet."""
        self.row_at = np.arange(rows)
        """Which row each cache slot holds."""

    def known(self, row: int) -> int:
        """Tokens of a row's history that the session was given or has sampled."""
        return int(self.lengths[row]) + int(self.unread[row] >= 0)

    @torch.inference_mode()
    def respond(self, rows: Sequence[int], observations: Sequence[Sequence[int]], turn: int) -> list[Response]:
        """Append one observation to each of these rows and sample their responses. All rows in one batch."""
        logits = self._read(rows, observations)
        drawn = np.stack([self.uniforms(int(row), turn) for row in self.row_at[: len(rows)]])
        tokens, logprobs, lengths = self._decode(logits, torch.from_numpy(drawn).to(self.device))
        return [Response(tokens[row, : lengths[row]].tolist(), logprobs[row, : lengths[row]].copy()) for row in rows]

    @torch.inference_mode()
    def read(self, rows: Sequence[int], observations: Sequence[Sequence[int]]) -> None:
        """Append one observation to each of these rows, which nobody will answer."""
        self._read(rows, observations)
        self.unread[list(rows)] = -1

    def _read(self, rows: Sequence[int], observations: Sequence[Sequence[int]]) -> torch.Tensor:
        """Bring these rows forward and read their new tokens; logits (rows, vocabulary) behind the last ones."""
        if [policy.version for policy in self.policies] != self.versions:
            raise RuntimeError("the policy was updated during a rollout; begin a new session.")
        fresh = {
            row: [*([self.unread[row]] if self.unread[row] >= 0 else []), *observation]
            for row, observation in zip(rows, observations, strict=True)
        }
        longest = self.lengths[list(rows)].max() + max(map(len, fresh.values()))
        self.cache.reserve(int(longest) + self.sampling.max_new_tokens)
        self._bring_forward(rows)
        return self._prefill([fresh[row] for row in self.row_at[: len(rows)]])

    @torch.inference_mode()
    def branch(self, parents: Sequence[int]) -> None:
        """The session's rows become copies: row r continues the history of what was row ``parents[r]``."""
        origin, slot_of = np.array(parents, dtype=np.int64), np.argsort(self.row_at)
        self.cache.gather(self._tensor(slot_of[origin]))
        self.lengths, self.unread = self.lengths[origin], self.unread[origin]
        self.adapters = [self.adapters[parent] for parent in parents]
        self.row_at = np.arange(len(origin))

    def _bring_forward(self, rows: Sequence[int]) -> None:
        """Rearrange the cache so that these rows are its first ones."""
        wanted, count = set(rows), len(rows)
        free = [slot for slot in range(count) if self.row_at[slot] not in wanted]
        late = [slot for slot in range(count, len(self.row_at)) if self.row_at[slot] in wanted]
        self._swap(np.array(free, dtype=np.int64), np.array(late, dtype=np.int64))

    def memory(self, row: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(layers,) the keys and values of a row: (heads, tokens read so far, head size) each, without copying."""
        slot, length = int(np.flatnonzero(self.row_at == row)[0]), int(self.lengths[row])
        return [(layer.keys[slot, :, :length], layer.values[slot, :, :length]) for layer in self.cache.layers]

    def _swap(self, one: np.ndarray, other: np.ndarray) -> None:
        """Exchange the contents of cache slots."""
        if not len(one):
            return
        targets, sources = np.concatenate([one, other]), np.concatenate([other, one])
        self.cache.move(torch.from_numpy(targets).to(self.device), torch.from_numpy(sources).to(self.device))
        self.row_at[targets] = self.row_at[sources]

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor, width: int) -> torch.Tensor:
        """Hidden states (rows, new tokens, width of the model) of the first rows."""
        self.cache.positions, self.cache.width = positions, width
        mixed = len(self.policies) > 1
        return self.base.hidden(
            [self.adapters[row] for row in self.row_at[: len(tokens)]] if mixed else self.policy.adapter,
            self,
            input_ids=tokens,
            position_ids=positions,
            attention_mask=self.cache.mask(),
            past_key_values=self.cache,
            use_cache=True,
        )

    def _prefill(self, observations: list[Sequence[int]]) -> torch.Tensor:
        """Read the new tokens of each leading slot; logits (rows, vocabulary) of the first response token."""
        rows = self.row_at[: len(observations)]
        sizes = np.array([len(observation) for observation in observations])
        tokens = torch.full((len(rows), int(sizes.max())), self.policy.pad_id)
        for index, observation in enumerate(observations):
            tokens[index, : sizes[index]] = torch.tensor(observation)
        positions = self.lengths[rows][:, None] + np.arange(sizes.max())[None]
        hidden = self._forward(tokens.to(self.device), self._tensor(positions), int(positions.max()) + 1)
        self.lengths[rows] += sizes
        last = hidden[torch.arange(len(rows), device=self.device), self._tensor(sizes - 1)]
        return self.policy.logits(last)

    def _decode(self, logits: torch.Tensor, uniforms: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sample until every live row has ended or hit the limit; results are indexed by row, not by slot.

        A row's last token is not read here: it is prefilled with the next observation, if there is one.
        """
        total, limit = len(self.row_at), self.sampling.max_new_tokens
        tokens = np.zeros((total, limit), dtype=np.int64)
        logprobs = np.zeros((total, limit), dtype=np.float32)
        lengths = np.zeros(total, dtype=np.int64)
        going = np.ones(len(logits), dtype=bool)
        for step in range(limit):
            drawn, scores = draw(logits, uniforms[:, step], self.sampling)
            picked, rows = drawn.cpu().numpy(), self.row_at[: len(going)]
            live = rows[going]
            tokens[live, step] = picked[going]
            logprobs[live, step] = scores.float().cpu().numpy()[going]
            lengths[live] = step + 1
            self.unread[live] = picked[going]
            going &= ~np.isin(picked, self.policy.stop_ids)
            if not going.any() or step == limit - 1:
                break
            positions = self.lengths[rows][:, None]
            hidden = self._forward(drawn[:, None], self._tensor(positions), int(positions.max()) + 1)
            self.lengths[rows[going]] += 1
            logits = self.policy.logits(hidden[:, 0])
            if (len(going) - going.sum()) * _SWEEP >= len(going):
                logits, uniforms, going = self._sweep(logits, uniforms, going)
        return tokens, logprobs, lengths

    def _sweep(
        self, logits: torch.Tensor, uniforms: torch.Tensor, going: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
        """Move finished rows behind the live ones, which stay a contiguous front."""
        count, live = len(going), int(going.sum())
        done = np.flatnonzero(~going[:live])
        late = live + np.flatnonzero(going[live:])
        self._swap(done, late)
        keep = np.arange(count)
        keep[done] = late
        index = self._tensor(keep[:live])
        return logits[index], uniforms[index], np.ones(live, dtype=bool)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
