"""A key/value cache of rows that grow on their own: no padding between turns, finished rows moved out of the way."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


class RowLayer(CacheLayerMixin):
    """Keys and values of one layer: (rows, heads, capacity, head size), written at each row's own positions."""

    def __init__(self, owner: RowCache) -> None:
        super().__init__()
        self.owner = owner

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        rows, capacity = self.owner.rows, self.owner.capacity
        self.keys = key_states.new_zeros(rows, key_states.shape[1], capacity, key_states.shape[3])
        self.values = value_states.new_zeros(rows, value_states.shape[1], capacity, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new tokens of the first rows at ``owner.positions`` and return those rows up to ``owner.width``."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        live, positions = len(key_states), self.owner.positions
        if positions.shape[1] == 1:
            row = self.owner.row_index[:live]
            self.keys[row, :, positions[:, 0]] = key_states[:, :, 0]
            self.values[row, :, positions[:, 0]] = value_states[:, :, 0]
        else:
            where = positions[:, None, :, None].expand_as(key_states)
            self.keys[:live].scatter_(2, where, key_states)
            self.values[:live].scatter_(2, where, value_states)
        return self.keys[:live, :, : self.owner.width], self.values[:live, :, : self.owner.width]

    def write(
        self, slots: torch.Tensor, positions: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write (…, heads, head size) at slots and positions (…); returns the whole layer's keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(keys[0, :1].transpose(1, 2), values[0, :1].transpose(1, 2))
        self.keys[slots, :, positions] = keys
        self.values[slots, :, positions] = values
        return self.keys, self.values

    def reserve(self, capacity: int) -> None:
        """Make room for longer rows."""
        if self.is_initialized:
            self.keys = _lengthened(self.keys, capacity)
            self.values = _lengthened(self.values, capacity)

    def move(self, targets: torch.Tensor, sources: torch.Tensor) -> None:
        """Rows ``targets`` take what rows ``sources`` held."""
        if self.is_initialized:
            self.keys[targets] = self.keys[sources]
            self.values[targets] = self.values[sources]

    def gather(self, sources: torch.Tensor) -> None:
        """The rows become copies of rows ``sources``."""
        if self.is_initialized:
            self.keys = self.keys[sources]
            self.values = self.values[sources]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.owner.width, 0

    def get_seq_length(self) -> int:
        return self.owner.width

    def get_max_length(self) -> int:
        return self.owner.capacity

    get_max_cache_shape = get_max_length


def _lengthened(tensor: torch.Tensor, capacity: int) -> torch.Tensor:
    rows, heads, length, size = tensor.shape
    longer = tensor.new_zeros(rows, heads, capacity, size)
    longer[:, :, :length] = tensor
    return longer


class RowCache(Cache):
    """The cache of all layers. Set ``positions`` and ``width`` before each forward pass of the first rows.

    A pass that writes a ragged batch may write padding behind a row's tokens; the next tokens of the row overwrite it,
    and until then the mask hides it, so a row's cache holds its own history and nothing else.
    """

    def __init__(self, layers: int, rows: int, capacity: int, device: torch.device) -> None:
        self.rows = rows
        self.capacity = capacity
        self.width = 0
        self.positions = torch.zeros(0, 0, dtype=torch.long)
        self.row_index = torch.arange(rows, device=device)
        super().__init__(layers=[RowLayer(self) for _ in range(layers)])

    def mask(self, window: int | None = None) -> torch.Tensor:
        """(rows, 1, new tokens, width): each new token attends to its row up to itself, or to so many of these at most."""
        columns = torch.arange(self.width, device=self.positions.device)
        behind = self.positions[:, :, None] - columns
        seen = behind >= 0 if window is None else (behind >= 0) & (behind < window)
        return seen[:, None]

    def reserve(self, capacity: int) -> None:
        """Make room for rows of this many tokens."""
        if capacity > self.capacity:
            self.capacity = max(capacity, int(1.5 * self.capacity))
            for layer in self.layers:
                layer.reserve(self.capacity)

    def move(self, targets: torch.Tensor, sources: torch.Tensor) -> None:
        """Rows ``targets`` take what rows ``sources`` held, in every layer (simultaneously)."""
        for layer in self.layers:
            layer.move(targets, sources)

    def gather(self, sources: torch.Tensor) -> None:
        """The rows become copies of rows ``sources``, in every layer: as many as there are sources."""
        self.rows = len(sources)
        self.row_index = torch.arange(self.rows, device=self.row_index.device)
        for layer in self.layers:
            layer.gather(sources)
