"""Keys and values of a batch whose prompts differ in length, in buffers that are allocated once.

Prompts end in the same column, so that the next token of every row has the same place. transformers' DynamicCache
copies all it holds at each token, and its StaticCache makes attention look at columns that are still empty; here a
token is written in its place, and attention sees a view of the columns so far.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DummyLayer, DynamicLayer, DynamicSlidingWindowLayer


@dataclass(slots=True)
class Columns:
    """What all layers share."""

    rows: int
    width: int
    """Columns of the buffers: longest prompt and longest output."""
    filled: int
    """Columns that hold tokens; prompts end here."""
    groups: list[tuple[slice, int]] = field(default_factory=list)
    """While prompts are read: rows of the buffer and their length, in the order of the rows of the model's input."""


class _RowsLayer(DynamicLayer):
    """One layer's buffers, (rows, heads, columns, head size); a window is a shorter view."""

    keys: Tensor
    values: Tensor

    def __init__(self, columns: Columns, window: int | None) -> None:
        super().__init__()
        self._columns = columns
        self._window = window
        self.is_sliding = window is not None
        if window is not None:
            self.sliding_window = window

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Store prompts, which see only themselves, or one token a row, which sees all columns."""
        columns = self._columns
        if not self.is_initialized:
            self.keys, self.values = (_buffer(columns, states) for states in (key_states, value_states))
            self.is_initialized = True
        if columns.groups:
            for buffer, states in ((self.keys, key_states), (self.values, value_states)):
                first = 0
                for rows, length in columns.groups:
                    last = first + rows.stop - rows.start
                    buffer[rows, :, columns.filled - length : columns.filled] = states[first:last, :, :length]
                    first = last
            return key_states, value_states
        end = columns.filled + 1
        self.keys[:, :, columns.filled : end] = key_states
        self.values[:, :, columns.filled : end] = value_states
        start = max(0, end - self._window) if self._window else 0
        return self.keys[:, :, start:end], self.values[:, :, start:end]

    def get_seq_length(self) -> int:
        """Columns before those of the input."""
        return 0 if self._columns.groups else self._columns.filled

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that attention sees, and the first of them."""
        if self._columns.groups:
            return query_length, 0
        end = self._columns.filled + query_length
        start = max(0, end - self._window) if self._window else 0
        return end - start, start

    def keep(self, rows: Tensor, start: int) -> None:
        """Only these rows, and the columns from `start`."""
        if self.is_initialized:
            self.keys = self.keys[:, :, start:].index_select(0, rows)
            self.values = self.values[:, :, start:].index_select(0, rows)


def _buffer(columns: Columns, states: Tensor) -> Tensor:
    """Zeros, for attention multiplies what it does not see by 0."""
    return states.new_zeros(columns.rows, states.shape[1], columns.width, states.shape[3])


class RowsCache(Cache):
    """The layers' buffers, as a cache for the model's forward."""

    def __init__(self, config: PreTrainedConfig, columns: Columns) -> None:
        super().__init__(
            layers=[
                layer if type(layer) is DummyLayer else _RowsLayer(columns, getattr(layer, "sliding_window", None))
                for layer in DynamicCache(config=config).layers
            ]
        )

    def keep(self, rows: Tensor, start: int) -> None:
        """Only these rows, and the columns from `start`."""
        for layer in self.layers:
            if isinstance(layer, _RowsLayer):
                layer.keep(rows, start)


def holds_all_of(config: PreTrainedConfig) -> bool:
    """If keys and values are all that the model keeps of a prompt: no recurrent state, no index of its own."""
    known = {DynamicLayer, DynamicSlidingWindowLayer, DummyLayer}
    return all(type(layer) in known for layer in DynamicCache(config=config).layers)


@torch.no_grad()
def bytes_per_token(model: PreTrainedModel, config: PreTrainedConfig) -> int:
    """Keys and values of one token, measured by reading one."""
    cache = DynamicCache(config=config)
    token = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    model(input_ids=token, past_key_values=cache, use_cache=True)
    states: list[Tensor | None] = [getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values")]
    return max(1, sum(state.numel() * state.element_size() for state in states if state is not None))
