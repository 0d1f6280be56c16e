"""Dask: frames in partitions, of pandas or of cuDF. What is said of each row is made partition by partition,
where Dask makes them; what is decided over all rows is decided here, over numbers. Results are lazy.

A partition is computed once for each pass over its rows: persist a frame whose source is slow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from forge_gpu.frames.base import Bools, Frames, kind_of
from forge_gpu.kernels.layout import I64, Spans, Text
from forge_gpu.plain import mutable

if TYPE_CHECKING:
    from forge_gpu.frames.lists import Lists

Made = TypeVar("Made")


@mutable
class Partitioned:
    """A Dask frame, and what is known of its rows, which are counted over all partitions."""

    frame: Any

    def __post_init__(self) -> None:
        self._lock = Lock()
        self._last: tuple[int, Any] | None = None

    @cached_property
    def edges(self) -> I64:
        """The first row of each partition, and the number of rows."""
        lengths = self.frame.map_partitions(len).compute()
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(lengths, np.int64))])

    @cached_property
    def delayed(self) -> list[Any]:
        return list(self.frame.to_delayed())

    @property
    def meta(self) -> Any:
        """A frame of its kind without rows."""
        return self.frame._meta

    def between(self, start: int, stop: int) -> Any:
        """Rows start ... stop - 1, of a sample: the partition that was computed last is held."""
        first = int(np.searchsorted(self.edges, start, side="right")) - 1
        pieces = []
        for number in range(first, len(self.delayed)):
            begin, end = self.edges[number], self.edges[number + 1]
            low, high = max(start, begin), min(stop, end)
            if low < high:
                pieces.append(self._partition(number).iloc[low - begin : high - begin])
            if end >= stop:
                break
        if len(pieces) == 1:
            return pieces[0]
        return _library("dask.dataframe.methods").concat(pieces) if pieces else self.meta

    def _partition(self, number: int) -> Any:
        with self._lock:
            if self._last is None or self._last[0] != number:
                self._last = number, self.delayed[number].compute()
            return self._last[1]

    def each(self, work: Callable[[Any], list[Made]], ahead: int) -> Iterator[Made]:
        """What `work` makes of each partition, in their order, by Dask's scheduler. ahead: as many
        partitions are computed at once; a cluster computes one for each of its threads."""
        dask = _library("dask")
        run = dask.delayed(work)
        step = max(ahead, _cluster_threads())
        for start in range(0, len(self.delayed), step):
            for made in dask.compute(*(run(part) for part in self.delayed[start : start + step])):
                yield from made

    def pieces(self, make: Callable[..., Any], slices: list[tuple[Any, ...]], meta: Any) -> Any:
        """A Dask frame, or series, of what `make` makes of each partition and its slices. An empty tuple
        stands for a partition that is left out."""
        dd = _library("dask.dataframe")
        run = _library("dask").delayed(make)
        parts = [run(part, *own) for part, own in zip(self.delayed, slices, strict=True) if own]
        if not parts:
            return (
                dd.from_pandas(meta, npartitions=1)
                if hasattr(meta, "to_numpy")
                else dd.from_delayed([], meta)
            )
        return dd.from_delayed(parts, meta=meta, verify_meta=False)


def _cluster_threads() -> int:
    """The threads of the cluster that is this process's default; 0 without one."""
    if "distributed" not in sys.modules:
        return 0
    try:
        return sum(_library("distributed").get_client().nthreads().values())
    except ValueError:
        return 0


def _library(name: str) -> Any:
    """A library that only those who have such frames have; Dask's have no types."""
    return import_module(name)


class DaskFrames:
    """See `frames.base.Frames`. parts: what knows the partitions."""

    def __init__(self, parts: Frames[Any, Any]) -> None:
        self._parts = parts

    def opened(self, frame: Any) -> Partitioned:
        if isinstance(frame, Partitioned):
            return frame
        if not hasattr(frame, "to_delayed") or not hasattr(frame, "_meta") or frame.ndim != 2:
            raise TypeError(f"this engine takes a dask.dataframe.DataFrame, not {kind_of(frame)}")
        self._parts.columns(self._parts.opened(frame._meta))
        return Partitioned(frame)

    def columns(self, frame: Any) -> tuple[str, ...]:
        return self._parts.columns(self.opened(frame).meta)

    def rows(self, frame: Any) -> int:
        return int(self.opened(frame).edges[-1])

    def spans(self, frame: Any, column: str, start: int, stop: int) -> Spans:
        return self._parts.spans(self.opened(frame).between(start, stop), column, 0, stop - start)

    def lists(self, frame: Any, column: str, start: int, stop: int) -> Lists | None:
        return None  # of a partition they are asked for where it is

    def is_text(self, frame: Any, column: str) -> bool:
        return self._parts.is_text(self.opened(frame).meta, column)

    def objects(self, frame: Any, column: str, start: int, stop: int) -> list[Any] | None:
        return self._parts.objects(self.opened(frame).between(start, stop), column, 0, stop - start)

    def mapped(self, frame: Any, make: Callable[[Any], Any]) -> Any:
        whole = self.opened(frame)
        return whole.frame.map_partitions(make, meta=make(whole.meta))

    def take(self, frame: Any, rows: I64) -> Any:
        """rows: ascending."""
        whole = self.opened(frame)
        cuts = np.searchsorted(rows, whole.edges)
        bounds = zip(whole.edges, cuts, cuts[1:], strict=False)
        chosen = [(rows[low:high] - first,) if high > low else () for first, low, high in bounds]
        return whole.pieces(_taken, chosen, whole.meta)

    def texts(self, frame: Any, name: str, pieces: Iterable[tuple[Text, Bools]]) -> Any:
        raise AssertionError("texts are made partition by partition")

    def strings(self, frame: Any, name: str, values: list[str]) -> Any:
        raise AssertionError("texts are made partition by partition")

    def of_arrow(self, frame: Any, table: Any) -> Any:
        dd = _library("dask.dataframe")
        whole = self.opened(frame)
        made = self._parts.of_arrow(whole.meta, table)
        return dd.from_pandas(made, npartitions=max(1, len(whole.delayed)), sort=False)

    def made(self, frame: Any, columns: Mapping[str, Any]) -> Any:
        raise AssertionError("frames are made partition by partition")

    def numbers(self, frame: Any, name: str, values: I64, valid: Bools) -> Any:
        whole = self.opened(frame)
        cuts = list(zip(whole.edges, whole.edges[1:], strict=False))
        own = [(values[low:high], valid[low:high]) for low, high in cuts]
        meta = _numbered(self._parts, name, whole.meta, values[:0], valid[:0])
        return whole.pieces(partial(_numbered, self._parts, name), own, meta)


def _taken(part: Any, rows: I64) -> Any:
    return part.iloc[rows]


def _numbered(parts: Frames[Any, Any], name: str, part: Any, values: I64, valid: Bools) -> Any:
    return parts.numbers(part, name, values, valid)
