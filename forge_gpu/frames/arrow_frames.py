"""Arrow, and what is Arrow underneath: tables, polars' frames, Hugging Face's datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from forge_gpu.errors import InputError
from forge_gpu.frames.base import Bools, unique
from forge_gpu.io.columns import arrow_spans
from forge_gpu.io.to_arrow import STRINGS, numbers_to_arrow, text_to_arrow
from forge_gpu.kernels.layout import I64, Spans, Text


class ArrowFrames:
    """See `frames.base.Frames`: pyarrow's tables and record batches. A series is a ChunkedArray."""

    def opened(self, frame: Any) -> Any:
        return frame

    def columns(self, frame: Any) -> tuple[str, ...]:
        return unique(self._names(frame))

    def rows(self, frame: Any) -> int:
        return len(frame)

    def spans(self, frame: Any, column: str, start: int, stop: int) -> Spans:
        array = self._column(frame, column, start, stop)
        kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
        try:
            if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.JsonType | pa.UuidType):
                raise InputError(f"a column of type {kind} has no JSON form; convert it, or leave it out")
            return arrow_spans(array)
        except InputError as fault:
            raise InputError(f"column {column!r}: {fault}") from None

    def lists(self, frame: Any, column: str, start: int, stop: int) -> None:
        return None  # they lie on the host

    def is_text(self, frame: Any, column: str) -> bool:
        return frame.schema.field(column).type in STRINGS

    def objects(self, frame: Any, column: str, start: int, stop: int) -> list[Any] | None:
        try:
            values: list[Any] = self._column(frame, column, start, stop).to_pylist()
        except UnicodeDecodeError:
            return None
        return values

    def take(self, frame: Any, rows: I64) -> Any:
        return frame.take(pa.array(rows))

    def mapped(self, frame: Any, make: Callable[[Any], Any]) -> Any:
        return make(frame)

    def texts(self, frame: Any, name: str, pieces: Iterable[tuple[Text, Bools]]) -> Any:
        return self._series(name, _texts(pieces))

    def strings(self, frame: Any, name: str, values: list[str]) -> Any:
        return self._series(name, pa.chunked_array([pa.array(values, pa.large_string())]))

    def numbers(self, frame: Any, name: str, values: I64, valid: Bools) -> Any:
        return self._series(name, pa.chunked_array([numbers_to_arrow(values, pa.int64(), ~valid)]))

    def of_arrow(self, frame: Any, table: pa.Table) -> Any:
        return table

    def made(self, frame: Any, columns: Mapping[str, Any]) -> Any:
        return pa.table({name: _array(column) for name, column in columns.items()})

    def _names(self, frame: Any) -> list[str]:
        return list(frame.schema.names)

    def _column(self, frame: Any, column: str, start: int, stop: int) -> Any:
        return frame.column(column).slice(start, stop - start)

    def _series(self, name: str, array: pa.ChunkedArray) -> Any:
        return array


class PolarsFrames(ArrowFrames):
    """polars' frames; a series is one of polars' strings or Int64. What is lazy has to be collected."""

    def columns(self, frame: Any) -> tuple[str, ...]:
        if type(frame).__name__ != "DataFrame":
            hint = "; pass frame.collect()" if type(frame).__name__ == "LazyFrame" else ""
            raise TypeError(f"this engine takes a polars.DataFrame, not polars.{type(frame).__name__}{hint}")
        return super().columns(frame)

    def is_text(self, frame: Any, column: str) -> bool:
        return str(frame.schema[column]) == "String"

    def take(self, frame: Any, rows: I64) -> Any:
        return frame[rows]

    def of_arrow(self, frame: Any, table: pa.Table) -> Any:
        import polars

        return polars.from_arrow(table)

    def made(self, frame: Any, columns: Mapping[str, Any]) -> Any:
        return type(frame)(dict(columns))

    def _names(self, frame: Any) -> list[str]:
        return list(frame.columns)

    def _column(self, frame: Any, column: str, start: int, stop: int) -> Any:
        return frame[column].slice(start, stop - start).to_arrow()

    def _series(self, name: str, array: pa.ChunkedArray) -> Any:
        import polars

        return polars.Series(name, array)


class DatasetFrames(ArrowFrames):
    """Hugging Face's `datasets.Dataset`, in the order of its rows; a series is a ChunkedArray, which
    `add_column` takes. A dictionary of splits, or a stream, is none."""

    def columns(self, frame: Any) -> tuple[str, ...]:
        if type(frame).__name__ != "Dataset":
            raise TypeError(f"this engine takes a datasets.Dataset, not datasets.{type(frame).__name__}")
        return super().columns(frame)

    def is_text(self, frame: Any, column: str) -> bool:
        return frame.features.arrow_schema.field(column).type in STRINGS

    def take(self, frame: Any, rows: I64) -> Any:
        return frame.select(rows)

    def of_arrow(self, frame: Any, table: pa.Table) -> Any:
        return type(frame)(table)

    def made(self, frame: Any, columns: Mapping[str, Any]) -> Any:
        return type(frame)(super().made(frame, columns))

    def _names(self, frame: Any) -> list[str]:
        return list(frame.column_names)

    def _column(self, frame: Any, column: str, start: int, stop: int) -> Any:
        return frame.select_columns([column]).with_format("arrow")[start:stop].column(column)


def _texts(pieces: Iterable[tuple[Text, Bools]]) -> pa.ChunkedArray:
    arrays = [text_to_arrow(text, valid) for text, valid in pieces]
    return pa.chunked_array(arrays, pa.large_string())


def _array(column: Any) -> Any:
    if isinstance(column, np.ndarray):
        return pa.array(column)
    return column
