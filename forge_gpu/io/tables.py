"""Parquet, Arrow IPC and spooled CSV: tables that are read by ranges of rows."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forge_gpu.errors import InputError
from forge_gpu.fates import Reason
from forge_gpu.io.checked import FAULTS
from forge_gpu.io.chunks import ArrowChunk, BadRow, Origin, ParquetTexts, Range, ReadBuffer
from forge_gpu.io.decoded import decoded_chunks
from forge_gpu.io.delimited import BAD_COLUMN
from forge_gpu.io.faults import one_line
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.loss import Loss
from forge_gpu.io.open_file import OpenFile
from forge_gpu.io.row_groups import RowGroups, changed, damaged, text_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from forge_gpu.io.ipc import Batches

_ROWS_TRIED = 256
"""Rows that are decoded at once to see whether a row group is whole."""

KEPT_TIMES = 2
"""Times the bytes of its row groups that a range is kept with: what grows by more has dictionaries, and is
quickly decoded."""

LARGE_GROUP = 8
"""A row group or a compressed batch of more than this many ranges is spooled, for it cannot be cut."""


class _Table:
    """What tables have in common. A subclass gives the record batches of a range."""

    def __init__(self, origin: Origin, names: Sequence[str]) -> None:
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise InputError(f"{origin.file.path}: has column {twice[0]!r} more than once; rename one")
        self.file = origin.file
        self.format = origin.format
        self.columns: tuple[str, ...] | None = tuple(name for name in names if name != BAD_COLUMN)
        self.losses = origin.losses
        self._names = tuple(names)
        self._max = origin.max_row_bytes
        self.ranges: tuple[Range, ...] = ()
        self.rows: int | None = 0

    def read(
        self,
        part: Range,
        chunk_bytes: int,
        buffer: ReadBuffer | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[ArrowChunk]:
        asked = None if columns is None else {*columns, BAD_COLUMN}
        required = [name for name in self._names if asked is None or name in asked]
        decode = None if buffer is None else buffer.parquet_texts
        first = part.begin
        try:
            for chunk in self._chunks(part, chunk_bytes, required, decode):
                for piece in chunk.pieces(chunk_bytes):
                    yield self._without_long_rows(piece)
                    first += len(piece)
        except FAULTS as fault:
            self._require_unchanged()
            raise damaged(self.file, first, fault) from fault
        self._require_unchanged()
        if first != part.end:
            raise changed(self.file, first)

    def close(self) -> None:
        pass

    def _require_unchanged(self) -> None:
        """Raise InputError where the file is not what it was when it was opened."""

    def _chunks(
        self, part: Range, chunk_bytes: int, columns: list[str], decode: ParquetTexts | None
    ) -> Iterator[ArrowChunk]:
        """The rows of a range, in chunks of any size."""
        yield from self._numbered(self._batches(part, chunk_bytes, columns), part.begin)

    def _batches(self, part: Range, chunk_bytes: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        raise NotImplementedError

    def _numbered(self, batches: Iterator[pa.RecordBatch], first: int) -> Iterator[ArrowChunk]:
        """Batches as chunks, from row `first` of the file on."""
        for batch in batches:
            yield _chunk(batch, first, self.file.path)
            first += len(batch)

    def _without_long_rows(self, chunk: ArrowChunk) -> ArrowChunk:
        """The chunk with the rows that are too long refused as well."""
        long = chunk.size > self._max and np.flatnonzero(chunk.value_bytes() > self._max).tolist()
        if not long:
            return chunk
        too_long = {i: BadRow(Reason.ROW_TOO_LONG) for i in long}
        return chunk.with_bad({**chunk.bad, **too_long})


class ParquetSource(_Table):
    """Ranges are whole row groups, small ones together."""

    def __init__(self, origin: Origin, content: Path | bytes) -> None:
        self._content = content
        self._held = None if isinstance(content, bytes) else OpenFile(content, origin.file.path)
        self._metadata, self._source = open_parquet(origin.file, content)
        self._require_unchanged()
        super().__init__(origin, self._metadata.schema.to_arrow_schema().names)
        self._texts = text_columns(self._metadata)
        self._kept = origin.kept if _is_compressed(self._metadata) else None
        self._heaviest_of: dict[tuple[int, tuple[str, ...]], int] = {}
        counts = [self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)]
        sizes = [self._metadata.row_group(i).total_byte_size for i in range(self._metadata.num_row_groups)]
        self._groups = list(range(len(counts)))
        if origin.keep_prefix:
            self._groups, lost = self._undamaged(counts)
            self.losses += tuple(lost)
        self._starts = np.cumsum([0, *(counts[i] for i in self._groups)]).tolist()
        self.rows = self._starts[-1]
        self.ranges = _grouped(self._starts, [sizes[i] for i in self._groups], origin.range_bytes)

    def has_large_group(self, range_bytes: int) -> bool:
        """Whether a row group is too large to be a range."""
        return any(part.size > LARGE_GROUP * range_bytes for part in self.ranges)

    def _batches(self, part: Range, chunk_bytes: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        if self._kept is None:
            return self._decoded(part, chunk_bytes, columns)
        key = self.file.url, part.begin, part.end, *columns
        decoded = self._decoded(part, chunk_bytes, columns)
        return self._kept.find(key) or self._kept.keep(key, decoded, KEPT_TIMES * part.size)

    def _decoded(self, part: Range, chunk_bytes: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        usual = _rows_at_once(part, chunk_bytes, len(columns))
        for groups, rows in self._evenly(self._groups_of(self._numbers(part)), usual, chunk_bytes, columns):
            yield from _gathered(groups.batches(rows, columns), chunk_bytes, usual)

    def _evenly(
        self, groups: RowGroups, usual: int, chunk_bytes: int, columns: list[str]
    ) -> Iterator[tuple[RowGroups, int]]:
        """Consecutive ones of some groups, with how many rows of them are decoded at once: `usual`, or fewer
        where each may be as long as the longest that their dictionaries have."""
        begin, before = 0, usual
        for i in range(len(groups.groups)):
            heaviest = self._heaviest(groups.part(slice(i, i + 1)), columns)
            rows = min(usual, max(1, chunk_bytes // max(heaviest, 1)))
            if i and rows != before:
                yield groups.part(slice(begin, i)), before
                begin = i
            before = rows
        if groups.groups:
            yield groups.part(slice(begin, None)), before

    def _heaviest(self, group: RowGroups, columns: list[str]) -> int:
        """Bytes of a row of one group at most, about: found once, for each pass asks for it."""
        key = group.groups[0], tuple(columns)
        if key not in self._heaviest_of:
            self._heaviest_of[key] = group.heaviest(columns)
        return self._heaviest_of[key]

    def _chunks(
        self, part: Range, chunk_bytes: int, columns: list[str], decode: ParquetTexts | None
    ) -> Iterator[ArrowChunk]:
        texts = tuple(name for name in columns if name in self._texts)
        if decode is None or not texts or BAD_COLUMN in columns:
            yield from super()._chunks(part, chunk_bytes, columns, decode)
            return
        rows = _rows_at_once(part, chunk_bytes, len(columns))
        first = part.begin
        for numbers in self._runs(part, chunk_bytes):
            left = self._groups_of(numbers, texts)
            while left.groups:
                count, result = decode(left)
                groups, left = left.part(slice(0, count)), left.part(slice(count, None))
                if result is None:
                    yield from self._numbered(groups.batches(rows, columns), first)
                else:
                    yield from decoded_chunks(groups, result, tuple(columns), first, rows)
                first += sum(groups.rows)

    def _numbers(self, part: Range) -> list[int]:
        """The row groups of a range."""
        begin, end = bisect_right(self._starts, part.begin) - 1, bisect_right(self._starts, part.end - 1)
        return self._groups[begin:end]

    def _runs(self, part: Range, chunk_bytes: int) -> Iterator[list[int]]:
        """The row groups of a range, as many together as are no more than a chunk."""
        run: list[int] = []
        size = 0
        for number in self._numbers(part):
            added = self._metadata.row_group(number).total_byte_size
            if run and size + added > chunk_bytes:
                yield run
                run, size = [], 0
            run.append(number)
            size += added
        yield run

    def _groups_of(self, groups: Sequence[int], texts: tuple[str, ...] = ()) -> RowGroups:
        return RowGroups(self.file, self._content, self._metadata, tuple(groups), texts, self._source)

    def close(self) -> None:
        if self._held is not None:
            self._held.close()

    def _require_unchanged(self) -> None:
        if self._held is not None:
            self._held.require_unchanged()

    def _undamaged(self, counts: list[int]) -> tuple[list[int], list[Loss]]:
        """Row groups that can be read, found by reading them all."""
        import pyarrow as pa

        good, losses = [], []
        for group, count in enumerate(counts):
            try:
                if sum(map(len, self._groups_of([group]).batches(_ROWS_TRIED, None))) != count:
                    raise pa.ArrowInvalid("it has fewer rows than it says")
                good.append(group)
            except FAULTS as fault:
                where = self._metadata.row_group(group).column(0).file_offset
                losses.append(Loss(f"row group {group} is damaged: {one_line(fault)}", where or None, count))
        return good, losses


class IpcSource(_Table):
    """Record batches that lie in a file or in memory, cut by rows wherever it suits: a slice is free."""

    def __init__(self, origin: Origin, batches: Batches) -> None:
        super().__init__(origin, batches.schema.names)
        self._reader = batches.reader
        self._starts = batches.starts
        self.rows = batches.starts[-1]
        step = max(1, origin.range_bytes * max(self.rows, 1) // max(batches.size, 1))
        cuts = [*range(0, self.rows, step), self.rows]
        self.ranges = tuple(
            Range(number, begin, end, batches.size * (end - begin) // self.rows)
            for number, (begin, end) in enumerate(pairwise(cuts))
        )

    def _batches(self, part: Range, chunk_bytes: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        i = bisect_right(self._starts, part.begin) - 1
        at = part.begin
        while at < part.end:
            end = min(part.end, self._starts[i + 1])
            yield self._reader.rows(i, at - self._starts[i], end - at, columns)
            at, i = end, i + 1

    def close(self) -> None:
        self._reader.close()

    def _require_unchanged(self) -> None:
        self._reader.require_unchanged()


def open_parquet(file: InputFile, content: Path | bytes) -> tuple[Any, Any]:
    """The footer of a Parquet file, and the file, open. Raises InputError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = pa.BufferReader(content) if isinstance(content, bytes) else pa.OSFile(str(content))
        metadata = pq.read_metadata(source)
        metadata.schema.to_arrow_schema().names  # noqa: B018 (names that cannot be read are damage here)
        return metadata, source
    except FAULTS as fault:
        raise InputError(
            f"{file.path}: the Parquet file has no complete footer, so it cannot be read "
            f"({one_line(fault)}); fetch or write it again"
        ) from fault


def _is_compressed(metadata: Any) -> bool:
    """Whether decoding takes more than copying: by the first row group."""
    first = metadata.row_group(0) if metadata.num_row_groups else None
    return first is not None and any(
        first.column(i).compression != "UNCOMPRESSED" for i in range(first.num_columns)
    )


def _grouped(starts: list[int], sizes: list[int], range_bytes: int) -> tuple[Range, ...]:
    """Ranges of whole groups, as few groups as reach range_bytes; groups without rows add nothing."""
    ranges: list[Range] = []
    begin, size = 0, 0
    for i, group_size in enumerate(sizes):
        size += group_size
        if starts[i + 1] > starts[begin] and (size >= range_bytes or i + 1 == len(sizes)):
            ranges.append(Range(len(ranges), starts[begin], starts[i + 1], size))
            begin, size = i + 1, 0
    return tuple(ranges)


def _rows_at_once(part: Range, chunk_bytes: int, columns: int) -> int:
    """Rows of a range that are about a chunk, with what they take beside their values."""
    from forge_gpu.io.weights import bytes_beside

    rows = part.end - part.begin
    return max(1, min(65536, chunk_bytes * rows // (part.size + rows * bytes_beside(columns))))


def _gathered(batches: Iterator[pa.RecordBatch], most: int, most_rows: int) -> Iterator[pa.RecordBatch]:
    """Small batches together, up to about `most` bytes, and so many rows."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    size = rows = 0
    for batch in batches:
        if held and (size + batch.nbytes > most or rows + len(batch) > most_rows):
            yield held[0] if len(held) == 1 else pa.concat_batches(held)
            held, size, rows = [], 0, 0
        held.append(batch)
        size, rows = size + batch.nbytes, rows + len(batch)
    if held:
        yield held[0] if len(held) == 1 else pa.concat_batches(held)


def _chunk(batch: pa.RecordBatch, first: int, path: str) -> ArrowChunk:
    bad: dict[int, BadRow] = {}
    if batch.num_columns and batch.schema.names[-1] == BAD_COLUMN:
        source = batch.column(batch.num_columns - 1)
        batch = batch.select(batch.schema.names[:-1])
        if source.null_count != len(source):
            for i in np.flatnonzero(source.is_valid().to_numpy(zero_copy_only=False)).tolist():
                bad[i] = BadRow(Reason.WRONG_FIELD_COUNT, source[i].as_py())
    return ArrowChunk(batch, first, bad, path)
