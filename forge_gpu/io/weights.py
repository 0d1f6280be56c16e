"""What rows of a table weigh when they are decoded: a dictionary's value counts as often as it is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forge_gpu.hardware.budget import ROW_BYTES
from forge_gpu.io.checked import is_list, is_text, is_view
from forge_gpu.kernels.layout import I64

CELL_BYTES = 24
"""Of each cell beside its value: a span's start and length, and what is made of it."""


def pieces(batch: pa.RecordBatch, most: int) -> Iterator[tuple[int, int]]:
    """Where a batch is cut so that no part weighs more than `most`, but one of a single row."""
    rows, beside = len(batch), bytes_beside(batch.num_columns)
    if not may_be_heavier(batch.schema) and batch.nbytes + rows * beside <= most:
        if rows:
            yield 0, rows
        return
    at_once = max(1, most // beside)
    for first in range(0, rows, at_once):
        for begin, end in cuts(row_weights(batch.slice(first, at_once)), most):
            yield first + begin, first + end


def bytes_beside(columns: int) -> int:
    """What a row of so many columns takes beside its values."""
    return ROW_BYTES + CELL_BYTES * columns


def cuts(weights: I64, most: int) -> Iterator[tuple[int, int]]:
    """Consecutive rows whose weights together are no more than `most`; a row that alone is more, alone."""
    ends = np.cumsum(weights)
    begin, before = 0, 0
    while begin < len(weights):
        end = max(begin + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield begin, end
        begin, before = end, int(ends[end - 1])


def row_weights(batch: pa.RecordBatch) -> I64:
    """What each row takes: its values, CELL_BYTES for each of them, and ROW_BYTES: int64[n]."""
    return _row_bytes(batch, CELL_BYTES) + ROW_BYTES


def text_bytes(batch: pa.RecordBatch) -> I64:
    """Bytes of the texts of each row, those of nested values included: int64[n]."""
    return _row_bytes(batch, 0)


def _row_bytes(batch: pa.RecordBatch, cell: int) -> I64:
    total = np.zeros(len(batch), np.int64)
    for column in batch.columns:
        total += _bytes(column, cell)
    return total


def _bytes(array: Any, cell: int) -> I64:
    """Of each value of a column: its texts, and `cell` for every value in it."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _bytes(array.storage, cell)
    if pa.types.is_dictionary(kind):
        return _named(_bytes(array.dictionary, cell), array.indices)
    if pa.types.is_run_end_encoded(kind):
        ends = array.run_ends.to_numpy(zero_copy_only=False)
        places = np.arange(array.offset, array.offset + len(array))
        return _bytes(array.values, cell)[np.searchsorted(ends, places, side="right")]
    if pa.types.is_null(kind):
        return np.full(len(array), cell, np.int64)
    if is_text(kind):
        if is_view(kind):
            array = array.cast(pa.large_binary())
        return _filled(pc.binary_length(array)) + cell
    if pa.types.is_struct(kind):
        total = np.full(len(array), cell, np.int64)
        for i in range(kind.num_fields):
            total += _bytes(array.field(i), cell)
        return total
    if pa.types.is_map(kind):
        array = compact(array)
        entries = _bytes(array.keys, cell) + _bytes(array.items, cell)
        return _of_lists(np.diff(array.offsets.to_numpy(zero_copy_only=False)), entries) + cell
    if is_list(kind):
        return _of_lists(list_lengths(array), _bytes(array.flatten(), cell)) + cell
    return np.full(len(array), cell, np.int64)


def list_lengths(array: Any) -> I64:
    """Elements of each list; what lies under a null is not counted, as `flatten` does not give it."""
    lengths = _filled(pc.list_value_length(array))
    if array.null_count:
        lengths = np.where(array.is_valid().to_numpy(zero_copy_only=False), lengths, 0)
    return lengths


def compact(array: pa.MapArray) -> pa.MapArray:
    """A map array whose keys are its own alone: those of a slice are those of the whole."""
    return array.take(pa.array(np.arange(len(array))))


def _of_lists(lengths: Any, elements: I64) -> I64:
    ends = np.concatenate([[0], np.cumsum(elements)])
    edges = np.concatenate([[0], np.cumsum(lengths)])
    of_each: I64 = np.diff(ends[edges])
    return of_each


def _named(values: I64, indices: pa.Array) -> I64:
    places = _filled(indices)
    taken = values[places] if len(values) else np.zeros(len(places), np.int64)
    return np.where(indices.is_valid().to_numpy(zero_copy_only=False), taken, 0)


def _filled(numbers: pa.Array) -> I64:
    if numbers.null_count:
        numbers = pc.fill_null(numbers, 0)
    filled: I64 = numbers.to_numpy(zero_copy_only=False).astype(np.int64)
    return filled


def may_be_heavier(schema: pa.Schema) -> bool:
    """Whether a column's own bytes may be fewer than those of its values."""
    return any(map(_repeats, schema.types))


_REPEATING = (
    pa.types.is_dictionary,
    pa.types.is_run_end_encoded,
    pa.types.is_string_view,
    pa.types.is_binary_view,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


def _repeats(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _repeats(kind.storage_type)
    return any(test(kind) for test in _REPEATING) or any(
        _repeats(kind.field(i).type) for i in range(kind.num_fields)
    )
