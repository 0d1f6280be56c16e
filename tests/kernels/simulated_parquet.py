"""What decodes Parquet for an engine on a simulated device: pyarrow, into arrays of that device."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu.engine.gpu.cudf_adapter import TextBlock


def no_fault(groups: Sequence[int]) -> None:
    """Decodes without a fault."""


class SimulatedParquet:
    """See engine.gpu.cudf_adapter.CudfParquet. before: called with the row groups before they are decoded.

    missing: rows that are left out of what is decoded. codecs: that it takes. decoded: row groups so far.
    """

    def __init__(
        self,
        before: Callable[[Sequence[int]], None] = no_fault,
        missing: int = 0,
        codecs: Collection[str] = ("SNAPPY",),
    ) -> None:
        self.before, self.missing, self.codecs = before, missing, codecs
        self.decoded = 0

    def takes(self, codecs: Collection[str]) -> bool:
        return set(codecs) <= set(self.codecs)

    def texts(
        self,
        content: Path | bytes,
        groups: Sequence[int],
        columns: Sequence[str],
        room: Callable[[int], Any],
    ) -> dict[str, TextBlock]:
        self.before(groups)
        source = pa.BufferReader(content) if isinstance(content, bytes) else content
        table = pq.ParquetFile(source).read_row_groups(list(groups), list(columns), use_threads=False)
        table = table.slice(0, table.num_rows - self.missing)
        self.decoded += len(groups)
        return {name: self._block(table.column(name), room) for name in columns}

    def _block(self, column: pa.ChunkedArray, room: Callable[[int], Any]) -> TextBlock:
        kind = pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()
        values = [value for chunk in column.chunks for value in chunk.view(kind).to_pylist()]
        data = np.frombuffer(b"".join(value or b"" for value in values), np.uint8)
        there = room(len(data))[: len(data)]
        there[:] = data
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(value or b"") for value in values])])
        valid = np.array([value is not None for value in values], np.bool_)
        return TextBlock(there, offsets.astype(np.int64), None if valid.all() else valid)
