"""From ragged token sequences to padded micro-batches: the one padding function, and the one place of the token budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch


def padded(sequences: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> torch.Tensor:
    """(sequences, longest) token ids, padded on the right, where a causal model cannot see the padding."""
    batch = np.full((len(sequences), max(len(sequence) for sequence in sequences)), pad_id, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        batch[row, : len(sequence)] = sequence
    return torch.from_numpy(batch).to(device)


def micro_batches(lengths: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Groups of sequence indices of similar length whose padded size is within the budget (at least one each).

    The memory of a pass is set by the budget, not by how many sequences an update has.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if group and (len(group) + 1) * lengths[group[0]] > token_budget:
            yield group
            group = []
        group.append(index)
    if group:
        yield group
