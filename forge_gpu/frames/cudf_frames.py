"""cuDF: frames on the GPU, for the GPU engine. Texts stay on the device, and so do lists of records of texts,
such as messages; all else goes by the host, as Arrow.

What comes to the host of a column of texts is what decisions are made of: where each begins, and which are
null. What is bound to a version of cuDF is in `engine/gpu/cudf_adapter.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forge_gpu.engine.lazy import LazySpans
from forge_gpu.errors import InputError
from forge_gpu.frames.base import Bools, kind_of, named
from forge_gpu.frames.lists import Lists
from forge_gpu.io.columns import arrow_spans
from forge_gpu.io.to_arrow import numbers_to_arrow
from forge_gpu.kernels.layout import I64, U8, Spans, Text, spans_of_offsets

if TYPE_CHECKING:
    from forge_gpu.engine.gpu.cudf_adapter import TextBlock


class CudfFrames:
    """See `frames.base.Frames`. Text comes out as cuDF's own type of strings.

    adapter: an `engine.gpu.cudf_adapter.CudfAdapter`, or what has its methods.
    """

    def __init__(self, adapter: Any) -> None:
        self._cudf = adapter

    def opened(self, frame: Any) -> Any:
        return frame

    def columns(self, frame: Any) -> tuple[str, ...]:
        if not self._cudf.is_frame(frame):
            raise TypeError(f"this engine takes a cudf.DataFrame, not {kind_of(frame)}")
        return named(frame.columns)

    def rows(self, frame: Any) -> int:
        return len(frame)

    def spans(self, frame: Any, column: str, start: int, stop: int) -> Spans:
        series = frame[column]
        if self._cudf.is_text(series):
            return self._texts(self._cudf.text_block(series, start, stop))
        try:
            return arrow_spans(self._cudf.arrow_block(series, start, stop))
        except InputError as fault:
            raise InputError(f"column {column!r}: {fault}") from None

    def lists(self, frame: Any, column: str, start: int, stop: int) -> Lists | None:
        block = self._cudf.list_block(frame[column], start, stop)
        if block is None:
            return None
        valid = np.ones(stop - start, np.bool_) if block.valid is None else block.valid
        fields = {name: self._texts(texts) for name, texts in block.fields.items()}
        return Lists(block.first, valid, fields, self._to_host)

    def _texts(self, block: TextBlock) -> LazySpans:
        spans = spans_of_offsets(np.zeros(0, np.uint8), block.offsets, block.valid)
        return LazySpans(block.data, spans.start, spans.length, spans.kind, self._to_host)

    def _to_host(self, column: LazySpans) -> U8:
        result: U8 = self._cudf.to_host(column.source)
        return result

    def is_text(self, frame: Any, column: str) -> bool:
        return False  # they lie on the GPU

    def objects(self, frame: Any, column: str, start: int, stop: int) -> list[Any] | None:
        return None  # they lie on the GPU

    def take(self, frame: Any, rows: I64) -> Any:
        return frame.take(rows)

    def mapped(self, frame: Any, make: Callable[[Any], Any]) -> Any:
        return make(frame)

    def texts(self, frame: Any, name: str, pieces: Iterable[tuple[Text, Bools]]) -> Any:
        return self._cudf.text_series(pieces, name, frame.index)

    def strings(self, frame: Any, name: str, values: list[str]) -> Any:
        return self._cudf.arrow_series(pa.array(values, pa.large_string()), name, frame.index)

    def numbers(self, frame: Any, name: str, values: I64, valid: Bools) -> Any:
        return self._cudf.arrow_series(numbers_to_arrow(values, pa.int64(), ~valid), name, frame.index)

    def of_arrow(self, frame: Any, table: pa.Table) -> Any:
        return type(frame).from_arrow(table)

    def made(self, frame: Any, columns: Mapping[str, Any]) -> Any:
        return self._cudf.frame(dict(columns), frame.index)
