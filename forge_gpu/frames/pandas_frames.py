"""pandas: all that Forge knows of it, for the CPU engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import infer_dtype

from forge_gpu.errors import InputError
from forge_gpu.frames.base import Bools, kind_of, named
from forge_gpu.frames.objects import object_spans
from forge_gpu.io.columns import arrow_spans
from forge_gpu.io.to_arrow import STRINGS, text_to_arrow
from forge_gpu.kernels.layout import I64, Spans, Text


class PandasFrames:
    """See `frames.base.Frames`. Text comes out as ArrowDtype(large_string), whose null is pd.NA."""

    def opened(self, frame: Any) -> Any:
        return frame

    def columns(self, frame: pd.DataFrame) -> tuple[str, ...]:
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(f"this engine takes a pandas.DataFrame, not {kind_of(frame)}")
        return named(frame.columns)

    def rows(self, frame: pd.DataFrame) -> int:
        return len(frame)

    def spans(self, frame: pd.DataFrame, column: str, start: int, stop: int) -> Spans:
        series = frame[column]
        values: Any = series.to_numpy() if isinstance(series.dtype, np.dtype) else series.array
        try:
            if isinstance(values, pd.arrays.ArrowExtensionArray):
                return arrow_spans(values.__arrow_array__()[start:stop])
            values = values[start:stop]
            array = _as_arrow(values)
            if array is not None:
                return arrow_spans(array)
            return object_spans(np.asarray(values, object).tolist(), pd.isna)
        except InputError as fault:
            raise InputError(f"column {column!r}: {fault}") from None

    def lists(self, frame: pd.DataFrame, column: str, start: int, stop: int) -> None:
        return None  # they lie on the host

    def is_text(self, frame: pd.DataFrame, column: str) -> bool:
        dtype = frame[column].dtype
        if isinstance(dtype, pd.ArrowDtype):
            return dtype.pyarrow_dtype in STRINGS
        return isinstance(dtype, pd.StringDtype)

    def objects(self, frame: pd.DataFrame, column: str, start: int, stop: int) -> list[Any] | None:
        series = frame[column]
        if len(series) != stop - start:
            series = series.iloc[start:stop]
        try:
            values: list[Any] = series.tolist()
        except UnicodeDecodeError:
            return None
        return values

    def take(self, frame: pd.DataFrame, rows: I64) -> pd.DataFrame:
        return frame.iloc[rows]

    def mapped(self, frame: Any, make: Callable[[Any], Any]) -> Any:
        return make(frame)

    def texts(self, frame: pd.DataFrame, name: str, pieces: Iterable[tuple[Text, Bools]]) -> pd.Series:
        arrays = [text_to_arrow(text, valid) for text, valid in pieces]
        array = pd.arrays.ArrowExtensionArray(pa.chunked_array(arrays, pa.large_string()))
        return pd.Series(array, index=frame.index, name=name, copy=False)

    def strings(self, frame: pd.DataFrame, name: str, values: list[str]) -> pd.Series:
        array = pd.arrays.ArrowExtensionArray(pa.array(values, pa.large_string()))
        return pd.Series(array, index=frame.index, name=name, copy=False)

    def numbers(self, frame: pd.DataFrame, name: str, values: I64, valid: Bools) -> pd.Series:
        return pd.Series(pd.arrays.IntegerArray(values, ~valid), index=frame.index, name=name, copy=False)

    def of_arrow(self, frame: pd.DataFrame, table: pa.Table) -> pd.DataFrame:
        made: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
        return made

    def made(self, frame: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
        return pd.DataFrame(dict(columns), index=frame.index, copy=False)


def _as_arrow(values: Any) -> pa.Array | pa.ChunkedArray | None:
    """A pandas array as Arrow; None where it holds objects other than text, for which Arrow would guess one
    type. NaN is null."""
    if isinstance(values, pd.Categorical):
        _refuse(values.categories.dtype)
    _refuse(values.dtype)
    if values.dtype == object and infer_dtype(values, skipna=True) != "string":
        return None
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        return None


def _refuse(kind: Any) -> None:
    """Types that Arrow would store as numbers or structs, which say nothing of what they mean. Raises
    InputError."""
    if isinstance(kind, pd.PeriodDtype | pd.IntervalDtype):
        raise InputError(f"a column of type {kind} has no JSON form; convert it, or leave it out")
