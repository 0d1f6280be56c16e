"""Frames of several libraries: each goes by its own, and what comes out is of the kind that went in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from forge_gpu.frames.base import Bools, Frames, kind_of, library_of
from forge_gpu.kernels.layout import I64, Spans, Text

if TYPE_CHECKING:
    from forge_gpu.frames.lists import Lists

STREAM = "__arrow_c_stream__"


def _pandas() -> Frames[Any, Any]:
    from forge_gpu.frames.pandas_frames import PandasFrames

    return PandasFrames()


def _arrow() -> Frames[Any, Any]:
    from forge_gpu.frames.arrow_frames import ArrowFrames

    return ArrowFrames()


def _polars() -> Frames[Any, Any]:
    from forge_gpu.frames.arrow_frames import PolarsFrames

    return PolarsFrames()


def _datasets() -> Frames[Any, Any]:
    from forge_gpu.frames.arrow_frames import DatasetFrames

    return DatasetFrames()


def _records() -> Frames[Any, Any]:
    from forge_gpu.frames.record_frames import RecordFrames

    return RecordFrames()


MAKERS: Mapping[str, Callable[[], Frames[Any, Any]]] = {
    "pandas": _pandas,
    "pyarrow": _arrow,
    "polars": _polars,
    "datasets": _datasets,
    "builtins": _records,
}
"""By the name of a package: what knows its frames, which is imported when one comes."""


PARTITIONED = ("dask", "dask_cudf", "dask_expr", __name__.partition(".")[0])
"""Packages whose frames are in partitions; the last for those that `DaskFrames` has opened."""


class AnyFrames:
    """See `frames.base.Frames`. more: what knows the frames of other packages, by their names.

    What is of no such package, and gives itself as a stream of Arrow, is taken as an Arrow table.
    """

    def __init__(self, more: Mapping[str, Frames[Any, Any]] | None = None) -> None:
        self._known = dict(more or {})

    def opened(self, frame: Any) -> Any:
        library = library_of(frame)
        if library in PARTITIONED and not hasattr(frame, STREAM):  # a split of a result is a stream
            return self._of(frame).opened(frame)
        if library in self._known.keys() | MAKERS.keys() and not _is_other(frame):
            return frame
        of_gpu = library == "cudf"
        if of_gpu or not hasattr(frame, STREAM):
            hint = "; a GPU engine takes it, or pass frame.to_pandas()" if of_gpu else ""
            raise TypeError(
                "this engine takes frames of pandas, polars, pyarrow, datasets and Dask, lists of "
                f"dictionaries, and what has {STREAM}, not {kind_of(frame)}{hint}"
            )
        import pyarrow as pa

        return pa.table(frame)

    def _of(self, frame: Any) -> Frames[Any, Any]:
        library = library_of(frame)
        if library not in self._known:
            self._known[library] = self._partitioned() if library in PARTITIONED else MAKERS[library]()
        return self._known[library]

    def _partitioned(self) -> Frames[Any, Any]:
        from forge_gpu.frames.dask_frames import DaskFrames

        return DaskFrames(AnyFrames(self._known))

    def columns(self, frame: Any) -> tuple[str, ...]:
        return self._of(frame).columns(frame)

    def rows(self, frame: Any) -> int:
        return self._of(frame).rows(frame)

    def spans(self, frame: Any, column: str, start: int, stop: int) -> Spans:
        return self._of(frame).spans(frame, column, start, stop)

    def lists(self, frame: Any, column: str, start: int, stop: int) -> Lists | None:
        return self._of(frame).lists(frame, column, start, stop)

    def is_text(self, frame: Any, column: str) -> bool:
        return self._of(frame).is_text(frame, column)

    def objects(self, frame: Any, column: str, start: int, stop: int) -> list[Any] | None:
        return self._of(frame).objects(frame, column, start, stop)

    def take(self, frame: Any, rows: I64) -> Any:
        return self._of(frame).take(frame, rows)

    def mapped(self, frame: Any, make: Callable[[Any], Any]) -> Any:
        return self._of(frame).mapped(frame, make)

    def texts(self, frame: Any, name: str, pieces: Iterable[tuple[Text, Bools]]) -> Any:
        return self._of(frame).texts(frame, name, pieces)

    def strings(self, frame: Any, name: str, values: list[str]) -> Any:
        return self._of(frame).strings(frame, name, values)

    def numbers(self, frame: Any, name: str, values: I64, valid: Bools) -> Any:
        return self._of(frame).numbers(frame, name, values, valid)

    def of_arrow(self, frame: Any, table: Any) -> Any:
        return self._of(frame).of_arrow(frame, table)

    def made(self, frame: Any, columns: Mapping[str, Any]) -> Any:
        return self._of(frame).made(frame, columns)


def _is_other(frame: Any) -> bool:
    """Whether it is Python's, but no list, or Arrow's, but no table: something that is read once."""
    kinds = {"builtins": ("list",), "pyarrow": ("Table", "RecordBatch")}.get(library_of(frame))
    return kinds is not None and type(frame).__name__ not in kinds
