"""Chunks of a table whose texts an engine has decoded: they are spans already, wherever their bytes lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import repeat

import numpy as np
import pyarrow as pa

from forge_gpu.io.checked import FAULTS
from forge_gpu.io.chunks import ArrowChunk, BadRow
from forge_gpu.io.columns import arrow_spans
from forge_gpu.io.faults import persist
from forge_gpu.io.row_groups import RowGroups, changed, damaged
from forge_gpu.io.weights import cuts, text_bytes
from forge_gpu.kernels.layout import I64, Spans


class HostRows:
    """Rows of some row groups in the columns asked for, decoded by the host for those who ask.

    Chunks ask in the order of the file, so one decoder that goes forward serves them all. first: the number
    in the file of the first row. rows: how many are decoded at once.
    """

    def __init__(self, groups: RowGroups, names: tuple[str, ...], first: int, rows: int) -> None:
        self.names = names
        self._groups, self._first, self._rows = groups, first, rows
        self._batches: Iterator[pa.RecordBatch]
        self._batch: pa.RecordBatch | None
        self._restart()

    def take(self, begin: int, end: int) -> pa.RecordBatch:
        """Rows begin ... end - 1 of the file; faults that pass are waited for. Raises InputError."""
        return persist(lambda: self._take(begin, end), self._groups.file.path)

    def _take(self, begin: int, end: int) -> pa.RecordBatch:
        if begin < self._begin:
            self._restart()
        at, pieces = begin, []
        try:
            while at < end:
                if self._batch is None or at >= self._begin + len(self._batch):
                    self._step()
                    continue
                pieces.append(self._batch.slice(at - self._begin, end - at))
                at += len(pieces[-1])
        except FAULTS as fault:
            self._restart()
            raise damaged(self._groups.file, at, fault) from fault
        if len(pieces) == 1:
            return pieces[0]
        return pa.concat_batches(pieces)

    def _restart(self) -> None:
        self._batches = self._groups.batches(self._rows, list(self.names))
        self._batch, self._begin = None, self._first

    def _step(self) -> None:
        begin = self._begin + (0 if self._batch is None else len(self._batch))
        batch = next(self._batches, None)
        if batch is None:
            raise changed(self._groups.file, begin)
        self._batch, self._begin = batch, begin


class DecodedChunk(ArrowChunk):
    """See ArrowChunk. texts: columns that an engine has decoded. rest: the other columns, None where there
    are none. host: what decodes `batch`, the same rows in all columns, when it is asked for."""

    __slots__ = ("_host", "_rest", "_texts")

    def __init__(
        self,
        texts: Mapping[str, Spans],
        rest: pa.RecordBatch | None,
        host: HostRows,
        first_row: int,
        bad: Mapping[int, BadRow],
    ) -> None:
        super().__init__(None, first_row, bad)
        self._texts, self._rest, self._host = texts, rest, host

    def __len__(self) -> int:
        return len(next(iter(self._texts.values())))

    @property
    def batch(self) -> pa.RecordBatch:
        if self._batch is None:
            self._batch = self._host.take(self.first_row, self.end)
        return self._batch

    @property
    def names(self) -> tuple[str, ...]:
        return self._host.names

    @property
    def size(self) -> int:
        return int(self._text_bytes().sum()) + (0 if self._rest is None else int(self._rest.nbytes))

    def spans(self, name: str) -> Spans:
        result = self._texts.get(name)
        if result is None:
            assert self._rest is not None
            result = arrow_spans(self._rest.column(name))
        return result

    def value_bytes(self) -> I64:
        total = self._text_bytes()
        return total if self._rest is None else total + text_bytes(self._rest)

    def pieces(self, chunk_bytes: int) -> Iterator[DecodedChunk]:
        for begin, end in cuts(self.value_bytes(), chunk_bytes):
            yield self.slice(begin, end)

    def slice(self, begin: int, end: int) -> DecodedChunk:
        texts = {name: column.part(slice(begin, end)) for name, column in self._texts.items()}
        rest = None if self._rest is None else self._rest.slice(begin, end - begin)
        return DecodedChunk(texts, rest, self._host, self.first_row + begin, self._bad_of(begin, end))

    def with_bad(self, bad: Mapping[int, BadRow]) -> DecodedChunk:
        return DecodedChunk(self._texts, self._rest, self._host, self.first_row, bad)

    def _text_bytes(self) -> I64:
        return sum((column.length for column in self._texts.values()), np.zeros(len(self), np.int64))


def decoded_chunks(
    groups: RowGroups, texts: Mapping[str, Spans], names: tuple[str, ...], first: int, rows: int
) -> Iterator[DecodedChunk]:
    """The rows of row groups in chunks of `rows`: texts as an engine has decoded them, the other columns by
    the host, which reads no more than those. names: of all columns. first: the number of the first row in the
    file. Raises InputError where the file has other rows than it says, pyarrow's errors and OSError."""
    host = HostRows(groups, names, first, rows)
    total = sum(groups.rows)
    others = [name for name in names if name not in texts]
    at = 0
    for rest in groups.batches(rows, others) if others else repeat(None, -(-total // rows)):
        end = min(at + rows, total) if rest is None else at + len(rest)
        if end > total:
            break
        columns = {name: column.part(slice(at, end)) for name, column in texts.items()}
        yield DecodedChunk(columns, rest, host, first + at, {})
        at = end
    if at != total:
        raise changed(groups.file, first + at)
