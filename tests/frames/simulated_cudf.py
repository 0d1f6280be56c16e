"""Frames that lie on a simulated device: cuDF's for `CudfFrames`, as far as it asks for them.

Device memory is numpy's here, and counts what of it is brought to the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from forge_gpu.engine.gpu.cudf_adapter import ListBlock, TextBlock, packed_mask
from forge_gpu.engine.lazy import LazyText
from forge_gpu.io.columns import arrow_spans
from forge_gpu.kernels.layout import NULL, PLAIN, Text


class SimulatedFrame(pd.DataFrame):
    """A frame that says it is cuDF's."""

    __module__ = "cudf.core.dataframe"
    __qualname__ = "DataFrame"

    @property
    def _constructor(self) -> type[SimulatedFrame]:
        return SimulatedFrame


class SimulatedAdapter:
    """See engine.gpu.cudf_adapter.CudfAdapter. brought: bytes of texts that came to the host."""

    def __init__(self) -> None:
        self.brought = 0

    def is_frame(self, frame: object) -> bool:
        return isinstance(frame, SimulatedFrame)

    def frame(self, columns: Mapping[str, Any], index: Any) -> Any:
        return SimulatedFrame(columns, index=index)

    def is_text(self, series: Any) -> bool:
        return pa.types.is_large_string(pa.array(series).type)

    def arrow_block(self, series: Any, start: int, stop: int) -> Any:
        return pa.array(series.iloc[start:stop], from_pandas=True)

    def text_block(self, series: Any, start: int, stop: int) -> TextBlock:
        spans = arrow_spans(pa.array(series.iloc[start:stop], from_pandas=True))
        assert set(spans.kind) <= {PLAIN, NULL}
        offsets = np.concatenate([[0], np.cumsum(spans.length)])
        data = np.frombuffer(b"".join(spans.raw(i) for i in range(len(spans))), np.uint8)
        return TextBlock(data, offsets, None if (spans.kind == PLAIN).all() else spans.kind == PLAIN)

    def list_block(self, series: Any, start: int, stop: int) -> ListBlock | None:
        lists = pa.array(series.iloc[start:stop], from_pandas=True)
        lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
        if not pa.types.is_list(lists.type) or not pa.types.is_struct(lists.type.value_type):
            return None
        records = lists.flatten()
        if records.null_count or not all(pa.types.is_string(field.type) for field in records.type):
            return None
        length = lists.value_lengths().fill_null(0).to_numpy()
        columns = [pd.Series(pd.arrays.ArrowExtensionArray(column)) for column in records.flatten()]
        texts = [self.text_block(column, 0, len(records)) for column in columns]
        fields = dict(zip((field.name for field in records.type), texts, strict=True))
        valid = None if lists.null_count == 0 else lists.is_valid().to_numpy(zero_copy_only=False)
        return ListBlock(np.concatenate(([0], np.cumsum(length))).astype(np.int64), valid, fields)

    def to_host(self, data: Any) -> Any:
        self.brought += len(data)
        return data.copy()

    def text_series(self, pieces: Iterable[tuple[Text, Any]], name: str, index: Any) -> Any:
        arrays = []
        for text, valid in pieces:
            source = text.source.data if isinstance(text, LazyText) else text.data
            data = np.array(source[text.offsets[0] : text.offsets[-1]])
            offsets = np.ascontiguousarray(text.offsets - text.offsets[0])
            buffers = [pa.py_buffer(packed_mask(valid)), pa.py_buffer(offsets), pa.py_buffer(data)]
            arrays.append(pa.Array.from_buffers(pa.large_string(), len(text), buffers))
        return self.arrow_series(pa.chunked_array(arrays, pa.large_string()), name, index)

    def arrow_series(self, array: Any, name: str, index: Any) -> Any:
        return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array(array)), index=index, name=name)
