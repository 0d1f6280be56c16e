"""What sources deliver: ranges of an input, and the chunks inside them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Protocol

from forge_gpu.errors import InputError
from forge_gpu.fates import Reason
from forge_gpu.io.faults import one_line
from forge_gpu.io.loss import Loss
from forge_gpu.kernels.layout import I64, U8, Records, Spans
from forge_gpu.plain import frozen

if TYPE_CHECKING:
    import pyarrow as pa

    from forge_gpu.io.formats import Format
    from forge_gpu.io.inputs import InputFile
    from forge_gpu.io.kept import KeptRows
    from forge_gpu.io.row_groups import RowGroups

RANGE_BYTES = 16 * 2**20
"""Default length of a range. A constant of the format of checkpoints: never of memory or threads."""


@frozen
class Range:
    """A fixed part of an input, the unit of checkpoints: a function of the input alone.

    begin, end: bytes of the decoded file for JSON (a row belongs to the range in which it starts), row
    numbers for tables. size: bytes, about, for progress.
    """

    number: int
    begin: int
    end: int
    size: int


@frozen
class Origin:
    """What a source is made from: a file, what it is, and how the job reads it.

    keep_prefix: what comes before damage is kept. losses: what was lost to damage so far. kept: where rows
    that take long to decode are kept for the next pass; None for nowhere.
    """

    file: InputFile
    format: Format
    range_bytes: int
    max_row_bytes: int
    keep_prefix: bool = False
    losses: tuple[Loss, ...] = ()
    kept: KeptRows | None = None

    def after(self, losses: Sequence[Loss]) -> Origin:
        """The same, with more that was lost."""
        return replace(self, losses=(*self.losses, *losses)) if losses else self


@frozen
class JsonChunk:
    """Whole records as the (decoded) file spells them.

    data: uint8[size], valid until the next chunk of the same `read` is asked for. form: "lines", or
    "array": elements with a comma after each but perhaps the last. offset: of data[0] in the decoded file.
    truncated: `data` is one record of more than max_row_bytes: its first max_row_bytes bytes and one byte
    more, a plus sign, so that a scan calls it ROW_TOO_LONG; the rest of it was passed over. Whether a record
    is truncated depends on its length alone, never on the size of chunks. whole: gives all of such a record,
    without blanks around it, in blocks.
    """

    data: U8
    form: Literal["lines", "array"]
    offset: int
    truncated: bool = False
    whole: Callable[[], Iterator[bytes]] | None = None

    @property
    def begin(self) -> int:
        """Where it begins, as ranges count."""
        return self.offset

    @property
    def end(self) -> int:
        """Where it ends, as ranges count."""
        return self.offset + len(self.data)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)

    def lines(self, records: Records) -> int:
        """Physical lines of the file that it spans; of an array its records. records: all of its own."""
        number = len(records)
        if self.form != "lines" or self.truncated:
            return number
        text = int(records.length.sum())
        if text + number == len(self.data):  # every byte is of a record or its \n: no blank lines
            return number
        return self.lines_between(0, len(self.data)) + int(len(self.data) > 0 and self.data[-1] != 10)

    def lines_between(self, begin: int, end: int) -> int:
        """How many lines end in bytes begin ... end - 1 of the chunk."""
        from forge_gpu.kernels.cpu.separators import separators

        return separators(self.data[begin:end])[0]


@frozen
class BadRow:
    """A row that the reader of a table refused: why, and its source text where the table has it not."""

    reason: Reason
    source: bytes | None = None


class ArrowChunk:
    """Rows first_row ... first_row + len(chunk) - 1 of a table, those in `bad` (by their place in this chunk)
    refused. Where an engine has decoded texts, `batch` is made when it is asked for (see `decoded.py`)."""

    form: ClassVar[Literal["table"]] = "table"

    __slots__ = ("_batch", "_path", "bad", "first_row")

    def __init__(
        self,
        batch: pa.RecordBatch | None,
        first_row: int,
        bad: Mapping[int, BadRow] | None = None,
        path: str = "a table",
    ) -> None:
        """path: the file's, for messages."""
        self._batch = batch
        self._path = path
        self.first_row: Final = first_row
        self.bad: Final = {} if bad is None else bad

    @property
    def batch(self) -> pa.RecordBatch:
        return self._batch

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    @property
    def begin(self) -> int:
        """Where it begins, as ranges count."""
        return self.first_row

    @property
    def end(self) -> int:
        """Where it ends, as ranges count."""
        return self.first_row + len(self)

    def lines(self, records: Records) -> int:
        """A table has no lines but its rows. records: all of its own."""
        return len(records)

    def after(self, row: int) -> ArrowChunk | None:
        """Its rows from one of the table on; None where all of them are before it."""
        if row >= self.end:
            return None
        return self if row <= self.first_row else self.slice(row - self.first_row, len(self))

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the columns, in the order of the table."""
        return tuple(self.batch.schema.names)

    @property
    def size(self) -> int:
        """Bytes, about: as they are when they are decoded."""
        from forge_gpu.io.weights import may_be_heavier, text_bytes

        if may_be_heavier(self.batch.schema):
            return int(text_bytes(self.batch).sum())
        return int(self.batch.nbytes)

    def pieces(self, chunk_bytes: int) -> Iterator[ArrowChunk]:
        """Its rows in parts of about chunk_bytes, decoded."""
        from forge_gpu.io.weights import pieces

        for begin, end in pieces(self.batch, chunk_bytes):
            yield self.slice(begin, end)

    def spans(self, name: str) -> Spans:
        """A column (see `columns.arrow_spans`)."""
        from forge_gpu.io.columns import arrow_spans

        with self._readable(f"column {name!r}"):
            return arrow_spans(self.batch.column(name))

    def value_bytes(self) -> I64:
        """Bytes of the texts of each row, those of nested values included: int64[n]."""
        from forge_gpu.io.weights import text_bytes

        return text_bytes(self.batch)

    def source(self, i: int) -> bytes:
        """Row i as one JSON object, for rejected rows (see `columns.source_json`)."""
        from forge_gpu.io.columns import source_json

        with self._readable(f"row {self.first_row + i}"):
            return source_json(self.batch, i)

    def slice(self, begin: int, end: int) -> ArrowChunk:
        """Its rows begin ... end - 1, counted from its first."""
        return ArrowChunk(
            self.batch.slice(begin, end - begin),
            self.first_row + begin,
            self._bad_of(begin, end),
            self._path,
        )

    def with_bad(self, bad: Mapping[int, BadRow]) -> ArrowChunk:
        """The same rows, with others of them refused."""
        return ArrowChunk(self.batch, self.first_row, bad, self._path)

    @contextmanager
    def _readable(self, what: str) -> Iterator[None]:
        """Values that Arrow has no text for, as a year that no calendar has, are damage."""
        import pyarrow as pa

        try:
            yield
        except (pa.ArrowException, ValueError, OverflowError) as fault:
            raise InputError(f"{self._path}: {what} cannot be read: {one_line(fault)}") from fault
        except InputError as fault:
            raise InputError(f"{self._path}: {what}: {fault}") from fault

    def _bad_of(self, begin: int, end: int) -> Mapping[int, BadRow]:
        return {row - begin: bad for row, bad in self.bad.items() if begin <= row < end}


Chunk = JsonChunk | ArrowChunk


ParquetTexts = Callable[["RowGroups"], tuple[int, dict[str, Spans] | None]]
"""See `engine.base.Engine.parquet_texts`."""


Pin = Callable[[bytearray], Callable[[], None]]
"""See `engine.base.Engine.pin`."""


class ReadBuffer:
    """What a thread reads with: memory for JSON, kept between chunks and ranges (it grows, never shrinks),
    and who is asked to decode texts of Parquet before the host does it, None where nobody. pin: is told of
    the memory."""

    def __init__(self, parquet_texts: ParquetTexts | None = None, pin: Pin | None = None) -> None:
        self.data = bytearray()
        self.parquet_texts = parquet_texts
        self._pin = pin
        self._unpin: Callable[[], object] = lambda: None

    def reserve(self, size: int) -> bytearray:
        """At least `size` bytes; what was in them is lost when it has to grow."""
        if len(self.data) < size:
            self._unpin()
            self.data = bytearray(size)
            if self._pin is not None:
                self._unpin = weakref.finalize(self, self._pin(self.data))
        return self.data


class Source(Protocol):
    """One input file, ready to be read by ranges, any number of times, by several threads at once."""

    @property
    def file(self) -> InputFile: ...

    @property
    def format(self) -> Format: ...

    @property
    def ranges(self) -> Sequence[Range]:
        """In the order of the file; every row is in exactly one."""

    @property
    def rows(self) -> int | None:
        """Number of rows, where it is known before reading (tables)."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the columns, where they are known before reading (tables)."""

    @property
    def losses(self) -> Sequence[Loss]:
        """What `keep_prefix` left out; complete when the source is open."""

    def read(
        self,
        part: Range,
        chunk_bytes: int,
        buffer: ReadBuffer | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[Chunk]:
        """The rows of a range in order, in chunks of about `chunk_bytes`.

        buffer: what is read with; one a thread, for one `read` at a time. columns: those to read of a
        table, all if None; names that the table lacks are passed over. Raises InputError for a file that
        is damaged or has changed.
        """

    def close(self) -> None: ...
