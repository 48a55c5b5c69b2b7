"""Teacher-forced log-probabilities: one pass per transcript scores all of its responses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from collm.learning.batching import micro_batches, padded
from collm.learning.head import KEPT, parts, scores
from collm.learning.shared import Trie, alike, grown, worth_sharing
from collm.models.policy import Policy
from collm.rollout.distribution import log_distribution, log_probability
from collm.rollout.forest import Decision, Forest, Transcript


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scored response tokens of some decisions."""

    decisions: list[int]
    """Indices of the decisions, in the order of the tokens."""
    owner: torch.Tensor
    """(tokens,): position in ``decisions`` of each token's response."""
    logprobs: torch.Tensor
    """(tokens,): log π(token | history), fp32, with gradient if it was asked for."""
    entropy: torch.Tensor | None
    """(tokens,): entropy of the distribution that each token was drawn from, nats; None unless asked for."""
    openings: torch.Tensor
    """(decisions, width): last-layer states at the last observation token before each response."""


def score(
    policy: Policy,
    forest: Forest,
    decisions: Sequence[int],
    temperature: float,
    token_budget: int,
    entropy: bool = False,
) -> Iterator[Scored]:
    """Score responses in micro-batches; the log-probability of a macro-action is the sum over its tokens (contract 4).

    Each transcript is read once, whatever its number of turns, and what several begin with is read once for all of them;
    logits are built at response positions only.
    """
    by_transcript: dict[int, list[int]] = {}
    for index in decisions:
        by_transcript.setdefault(forest.decisions[index].transcript, []).append(index)
    rows = list(by_transcript)
    ends = [max(forest.decisions[d].span.stop for d in by_transcript[row]) for row in rows]
    sequences = [forest.transcripts[row].tokens[:end] for row, end in zip(rows, ends, strict=True)]
    cuts = [_cuts(forest.transcripts[row], end) for row, end in zip(rows, ends, strict=True)]
    share = policy.base.packs and worth_sharing(sequences, cuts)
    for group in alike(sequences, cuts, token_budget) if share else micro_batches(ends, token_budget):
        chosen = [[(d, forest.decisions[d]) for d in by_transcript[rows[i]]] for i in group]
        own = [sequences[i] for i in group]
        trie = grown(own, [cuts[i] for i in group]) if share else None
        yield _score_batch(policy, own, chosen, temperature, entropy, trie)


def _cuts(transcript: Transcript, end: int) -> list[int]:
    """Where the pieces of a history end that others may share: in front of every response, and at its end."""
    return [*(span.said for span in transcript.spans if span.said < end), end]


def _token_scores(
    policy: Policy, hidden: torch.Tensor, tokens: torch.Tensor, temperature: float, entropy: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """log π and, if asked for, the entropy at states (tokens, width) in front of these tokens.

    Logits are made part by part, so that they stay close to the processor; where there are many they are made again when
    learning, instead of being kept.
    """
    output = policy.base.output
    if output is not None and not entropy:
        return scores(hidden, output, tokens, temperature), None

    def part_scores(hidden: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        logits = policy.logits(hidden)
        if not entropy:
            return log_probability(logits, tokens, temperature), None
        logprobs = log_distribution(logits, temperature)
        return logprobs.gather(-1, tokens[:, None]).squeeze(-1), -(logprobs.exp() * logprobs).sum(-1)

    vocabulary = int(policy.base.config.vocab_size)
    keep = len(tokens) * vocabulary <= KEPT
    found = [
        part_scores(hidden[part], tokens[part])
        if keep
        else checkpoint(part_scores, hidden[part], tokens[part], use_reentrant=False)
        for part in parts(len(tokens), vocabulary)
    ]
    return torch.cat([score for score, _ in found]), _joined([spread for _, spread in found if spread is not None])


def _joined(parts: list[torch.Tensor]) -> torch.Tensor | None:
    return torch.cat(parts) if parts else None


def _states(
    policy: Policy, sequences: list[list[int]], trie: Trie | None, rows: np.ndarray, positions: np.ndarray
) -> torch.Tensor:
    """(tokens, width): last-layer states at positions of sequences."""
    if trie is None:
        row, position = (torch.from_numpy(one).to(policy.device) for one in (rows, positions))
        return policy.hidden(padded(sequences, policy.pad_id, policy.device))[row, position]
    place = np.concatenate([trie.place(row, positions[rows == row]) for row in dict.fromkeys(rows.tolist())])
    return trie.states(policy)[torch.from_numpy(place).to(policy.device)]


def _score_batch(
    policy: Policy,
    sequences: list[list[int]],
    chosen: list[list[tuple[int, Decision]]],
    temperature: float,
    entropy: bool,
    trie: Trie | None,
) -> Scored:
    row_of, position_of, owner = [], [], []
    order: list[int] = []
    for row, decisions in enumerate(chosen):
        for index, decision in decisions:
            size = decision.span.stop - decision.span.said
            row_of.append(np.full(size, row))
            position_of.append(np.arange(decision.span.said, decision.span.stop))
            owner.append(np.full(size, len(order)))
            order.append(index)
    rows, positions, owners = (np.concatenate(each) for each in (row_of, position_of, owner))
    said = np.array([sequences[row][position] for row, position in zip(rows, positions, strict=True)])
    hidden = _states(policy, sequences, trie, rows, positions - 1)
    picked, spread = _token_scores(policy, hidden, torch.from_numpy(said).to(policy.device), temperature, entropy)
    first = torch.from_numpy(np.flatnonzero(np.diff(owners, prepend=-1))).to(policy.device)
    return Scored(order, torch.from_numpy(owners).to(policy.device), picked, spread, hidden[first])
