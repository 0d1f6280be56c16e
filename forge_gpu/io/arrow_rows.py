"""Some rows of an Arrow array that lies in a file, in memory of their own: no more than their bytes is read.

What is read of a file is private, so it can be checked and then relied on, whatever becomes of the file; of a
mapped file neither would be true, and reading one that has become shorter kills the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from forge_gpu.io.checked import is_list, is_text

ReadBytes = Callable[[pa.Buffer, int, int], pa.Buffer]
"""Bytes of a buffer of the file, from one on, so many."""


_WHOLE = (
    pa.types.is_union,
    pa.types.is_run_end_encoded,
    pa.types.is_string_view,
    pa.types.is_binary_view,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)
"""Types whose values lie in no order."""


def can_be_cut(kind: pa.DataType) -> bool:
    """Whether rows of a column of this type can be read by themselves."""
    return _can_be_cut(kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind)


def _can_be_cut(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType) or any(test(kind) for test in _WHOLE):
        return False
    if pa.types.is_dictionary(kind):
        return _can_be_cut(kind.value_type)
    return all(_can_be_cut(kind.field(i).type) for i in range(kind.num_fields))


class RowsOfArrays:
    """Cuts rows out of arrays whose buffers are read by `read`. Dictionaries are read once."""

    def __init__(self, read: ReadBytes) -> None:
        self._read = read
        self._dictionaries: dict[tuple[int, int], pa.Array] = {}

    def rows(self, array: pa.Array, begin: int, count: int) -> pa.Array:
        """Rows begin ... begin + count - 1, unchecked. Raises ArrowInvalid where they are not all there."""
        if begin < 0 or count < 0 or begin + count > len(array) or array.offset:
            raise pa.ArrowInvalid(f"rows {begin} to {begin + count} are not in an array of {len(array)}")
        if isinstance(array, pa.ExtensionArray):
            return self.rows(array.storage, begin, count)
        if pa.types.is_dictionary(array.type):
            return self._dictionary(array, begin, count)
        low = begin - begin % 8  # bits are read from a whole byte on
        return self._from(array, low, begin + count - low).slice(begin - low)

    def _from(self, array: Any, low: int, count: int) -> pa.Array:
        kind = array.type
        if pa.types.is_null(kind):
            return pa.nulls(count)
        own = array.buffers()
        valid = None if own[0] is None else self._bytes(own[0], low // 8, -(-count // 8))
        if pa.types.is_boolean(kind):
            bits = self._bytes(own[1], low // 8, -(-count // 8))
            return pa.Array.from_buffers(kind, count, [valid, bits])
        if pa.types.is_struct(kind):
            children = [self.rows(array.field(i), low, count) for i in range(kind.num_fields)]
            return pa.Array.from_buffers(kind, count, [valid], children=children)
        if pa.types.is_fixed_size_list(kind):
            width = kind.list_size
            values = self.rows(array.values, low * width, count * width)
            return pa.Array.from_buffers(kind, count, [valid], children=[values])
        if is_list(kind):
            edges, first, size = self._edges(own[1], low, count, pa.types.is_large_list(kind))
            values = self.rows(array.values, first, size)
            return pa.Array.from_buffers(kind, count, [valid, edges], children=[values])
        if is_text(kind) and not pa.types.is_fixed_size_binary(kind):
            wide = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
            edges, first, size = self._edges(own[1], low, count, wide)
            return pa.Array.from_buffers(kind, count, [valid, edges, self._bytes(own[2], first, size)])
        width = kind.bit_width // 8
        return pa.Array.from_buffers(kind, count, [valid, self._bytes(own[1], low * width, count * width)])

    def _edges(self, buffer: pa.Buffer, low: int, count: int, wide: bool) -> tuple[pa.Buffer, int, int]:
        """The offsets of rows, counted from their first; where that is, and how far they reach."""
        kind = np.dtype(np.int64 if wide else np.int32)
        if not count and (buffer is None or not buffer.size):
            return pa.py_buffer(np.zeros(1, kind)), 0, 0
        data = self._bytes(buffer, low * kind.itemsize, (count + 1) * kind.itemsize)
        edges = np.frombuffer(data, kind)
        first, last = int(edges[0]), int(edges[-1])
        if first < 0 or last < first:
            raise pa.ArrowInvalid("offsets do not rise")
        return pa.py_buffer(edges - kind.type(first)), first, last - first

    def _dictionary(self, array: Any, begin: int, count: int) -> pa.Array:
        values = array.dictionary
        key = next(((b.address, b.size) for b in reversed(values.buffers()) if b is not None), (0, 0))
        if key not in self._dictionaries:
            self._dictionaries[key] = self.rows(values, 0, len(values))
        indices = self.rows(array.indices, begin, count)
        return pa.DictionaryArray.from_arrays(indices, self._dictionaries[key], safe=False)

    def _bytes(self, buffer: pa.Buffer | None, begin: int, size: int) -> pa.Buffer:
        if not size:
            return pa.py_buffer(b"")
        if buffer is None or begin + size > buffer.size:
            raise pa.ArrowInvalid(f"bytes {begin} to {begin + size} leave a buffer")
        return self._read(buffer, begin, size)
