"""Frames of several libraries: each goes by its own, and what comes out is of the kind that went in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from forge_gpu.frames.base import Bools, Frames, kind_of, library_of
from forge_gpu.kernels.layout import I64, Spans, Text


class AnyFrames:
    """See `frames.base.Frames`. by_library: the name of a package -> what knows its frames."""

    def __init__(self, by_library: Mapping[str, Frames[Any, Any]]) -> None:
        self._by_library = by_library

    def _of(self, frame: Any) -> Frames[Any, Any]:
        known = self._by_library.get(library_of(frame))
        if known is None:
            taken = " or a ".join(f"{library}.DataFrame" for library in self._by_library)
            raise TypeError(f"this engine takes a {taken}, not {kind_of(frame)}")
        return known

    def columns(self, frame: Any) -> tuple[str, ...]:
        return self._of(frame).columns(frame)

    def rows(self, frame: Any) -> int:
        return self._of(frame).rows(frame)

    def spans(self, frame: Any, column: str, start: int, stop: int) -> Spans:
        return self._of(frame).spans(frame, column, start, stop)

    def take(self, frame: Any, rows: I64) -> Any:
        return self._of(frame).take(frame, rows)

    def texts(self, frame: Any, name: str, pieces: Iterable[tuple[Text, Bools]]) -> Any:
        return self._of(frame).texts(frame, name, pieces)

    def numbers(self, frame: Any, name: str, values: I64, valid: Bools) -> Any:
        return self._of(frame).numbers(frame, name, values, valid)

    def made(self, frame: Any, columns: Mapping[str, Any]) -> Any:
        return self._of(frame).made(frame, columns)
