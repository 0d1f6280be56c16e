"""Rows as Python has them: a list of dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from forge_gpu.errors import InputError
from forge_gpu.frames.base import Bools, kind_of, unique
from forge_gpu.frames.objects import object_spans
from forge_gpu.kernels.layout import I64, Spans, Text


class RecordFrames:
    """See `frames.base.Frames`. A key that a row does not have is null there; a series is a list."""

    def opened(self, frame: Any) -> Any:
        return frame

    def columns(self, frame: list[dict[str, Any]]) -> tuple[str, ...]:
        odd = next((row for row in frame if not isinstance(row, dict)), None)
        if odd is not None:
            raise TypeError(f"this engine takes a list of dictionaries, but one holds {kind_of(odd)}")
        return unique(list(dict.fromkeys(name for row in frame for name in row)))

    def rows(self, frame: list[dict[str, Any]]) -> int:
        return len(frame)

    def spans(self, frame: list[dict[str, Any]], column: str, start: int, stop: int) -> Spans:
        try:
            return object_spans((row.get(column) for row in frame[start:stop]), _is_nan)
        except InputError as fault:
            raise InputError(f"column {column!r}: {fault}") from None

    def lists(self, frame: list[dict[str, Any]], column: str, start: int, stop: int) -> None:
        return None  # they lie on the host

    def is_text(self, frame: list[dict[str, Any]], column: str) -> bool:
        return False  # no type says so

    def objects(self, frame: list[dict[str, Any]], column: str, start: int, stop: int) -> list[Any] | None:
        return [row.get(column) for row in frame[start:stop]]

    def take(self, frame: list[dict[str, Any]], rows: I64) -> list[dict[str, Any]]:
        return [frame[row] for row in rows.tolist()]

    def mapped(self, frame: Any, make: Callable[[Any], Any]) -> Any:
        return make(frame)

    def texts(self, frame: Any, name: str, pieces: Iterable[tuple[Text, Bools]]) -> list[str | None]:
        return [
            text.row(row).decode() if there else None
            for text, valid in pieces
            for row, there in enumerate(valid.tolist())
        ]

    def strings(self, frame: Any, name: str, values: list[str]) -> list[str | None]:
        return list(values)

    def numbers(self, frame: Any, name: str, values: I64, valid: Bools) -> list[int | None]:
        return [
            value if there else None for value, there in zip(values.tolist(), valid.tolist(), strict=True)
        ]

    def of_arrow(self, frame: Any, table: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def made(self, frame: Any, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
        lists = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value
