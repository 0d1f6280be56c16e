"""CSV and TSV as arrays of fields: each as its bytes, no guess of types or nulls, no row dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from forge_gpu.errors import InputError
from forge_gpu.io.dialects import Dialect, fields_of, split
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.loss import Loss
from forge_gpu.kernels.layout import U8
from forge_gpu.kernels.reference.delimited import GOOD, Split
from forge_gpu.plain import frozen

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 2**20
"""What is parsed at a time, and so about the size of a batch."""

FIELDS = 2**18
"""So many are split at once, and those of a row however wide its table."""

BAD_COLUMN = "forge: source of a refused row"


def largest_block(max_row_bytes: int) -> int:
    """Bytes of the largest block to try: a row of max_row_bytes can be read, or said to be too long."""
    return min(2 * max(max_row_bytes, 32 * 2**20), 2**30)


@frozen
class Fields:
    """A table of text. names: of its columns; the last is BAD_COLUMN. blocks: of rows, in order: the values
    of each column, one column after the other, in one array of large_binary. A column that nobody asks for
    costs no call so, however many there are.

    BAD_COLUMN is null but for records that are malformed or have a wrong number of fields: it is their source
    text, and the other columns are null there. Blocks depend on the content alone.
    """

    names: list[str]
    blocks: Iterator[pa.LargeBinaryArray]


def read_fields(
    file: InputFile,
    blocks: Iterator[bytes],
    dialect: Dialect,
    largest: int,
    keep_prefix: bool = False,
    losses: list[Loss] | None = None,
) -> Fields:
    """The table of a decoded file; its columns are named as the header says.

    Raises InputError for a header that is not UTF-8 or names a column twice, and while its blocks are read,
    for a record of more than half of `largest` bytes, and for a quote that is never closed (with keep_prefix
    the row that holds it is left out and `losses` is told).
    """
    text = _Text(file, blocks, dialect, largest)
    names = text.names()
    return Fields([*names, BAD_COLUMN], _blocks(text, len(names), keep_prefix, losses))


def _blocks(
    text: _Text, columns: int, keep_prefix: bool, losses: list[Loss] | None
) -> Iterator[pa.LargeBinaryArray]:
    rows = 0
    for data, result in text.records(columns):
        rows += len(result.status)
        yield _fields(data, result, text.dialect)
    if text.is_open:
        what = f"a quote opened in row {rows + 1} is never closed"
        if not keep_prefix:
            raise InputError(
                f"{text.file.path}: {what}; mend the file, or keep the rows before it with "
                "data.on_corrupt: keep_prefix"
            )
        if losses is not None:
            losses.append(Loss(what))


class _Text:
    """The decoded file in blocks of about BLOCK_BYTES, each of whole records. is_open: whether it ended
    inside quotes."""

    def __init__(self, file: InputFile, blocks: Iterator[bytes], dialect: Dialect, largest: int) -> None:
        self.file, self._blocks, self.dialect, self._largest = file, blocks, dialect, largest
        self._held, self._begin = bytearray(), 0
        self._ended = self.is_open = False
        self._fill(dialect.skip + 1)
        self._begin = dialect.skip

    def names(self) -> list[str]:
        """Those of the columns; the header is taken from the text. Raises InputError."""
        result = self._first()
        if result is None:
            raise InputError(f"{self.file.path}: not a table: it has no rows")
        width = int(result.width[0])
        if not self.dialect.header:
            return [f"column_{number + 1}" for number in range(width)]
        header = self._split(width, 1)
        names = names_of(self.file, fields_of(self._text().tobytes(), header, 0, self.dialect))
        self._begin += header.used
        return names

    def records(self, columns: int) -> Iterator[tuple[U8, Split]]:
        most = max(FIELDS // max(columns, 1), 1)
        usual = want = max(BLOCK_BYTES, 2 * columns)
        while True:
            self._fill(want)
            count = most
            while count == most:  # what is held may have more records than are split at once
                result = self._split(columns, most)
                count = len(result.status)
                if count:
                    yield self._text(), result
                    want = usual
                elif not self._ended:
                    want = self._wider(want)
                self._begin += result.used
            if self._ended:
                self.is_open = result.is_open
                return

    def _text(self) -> U8:
        """What is held and not read. No view of it may be left when more is to be held."""
        return np.frombuffer(self._held, np.uint8)[self._begin :]

    def _split(self, columns: int, most: int) -> Split:
        return split(self._text(), self.dialect, columns, self._ended, most)

    def _first(self) -> Split | None:
        """The first record; None where there is none."""
        want = BLOCK_BYTES
        while True:
            self._fill(want)
            result = self._split(0, 1)
            if len(result.status):
                return result
            if self._ended:
                return None
            want = self._wider(want)

    def _wider(self, want: int) -> int:
        if want >= self._largest:
            raise InputError(
                f"{self.file.path}: a row is longer than {self._largest // 2} bytes (is a quote never "
                "closed?); mend it, or raise data.max_row_bytes"
            )
        return min(4 * want, self._largest)

    def _fill(self, want: int) -> None:
        """Hold so many bytes, if there are."""
        if self._begin and not self._ended:  # those who were given what is read may hold views of it
            self._held, self._begin = self._held[self._begin :], 0
        while len(self._held) - self._begin < want and not self._ended:
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
            else:
                self._held += block


def names_of(file: InputFile, header: list[bytes]) -> list[str]:
    """The names of columns. Raises InputError where one is not UTF-8, or stands twice."""
    try:
        names = [name.decode() for name in header]
    except UnicodeDecodeError as fault:
        raise InputError(
            f"{file.path}: the header is not UTF-8; name the file's encoding with data.encoding, e.g. cp1252"
        ) from fault
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(f"{file.path}: the header names column {twice[0]!r} more than once; rename one")
    return names


def _fields(data: U8, result: Split, dialect: Dialect) -> pa.LargeBinaryArray:
    import pyarrow as pa

    from forge_gpu.kernels.cpu.delimited import unescaped

    is_bad = result.status != GOOD
    start, length, escaped = result.start.T.ravel(), result.length.T.ravel(), result.escaped.T.ravel()
    texts, offsets = map(pa.py_buffer, unescaped(data, start, length, escaped, dialect.signs))
    validity = None
    if is_bad.any():
        validity = pa.array(np.tile(~is_bad, result.start.shape[1])).buffers()[1]
    values = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(start), [validity, offsets, texts])
    return pa.concat_arrays([values, _sources(data, result, is_bad)])


def _sources(data: U8, result: Split, is_bad: np.ndarray) -> pa.Array:
    """The text of the records that are refused, null for all others."""
    import pyarrow as pa

    if not is_bad.any():
        return pa.nulls(len(is_bad), pa.large_binary())
    places = zip(result.begin.tolist(), result.end.tolist(), is_bad.tolist(), strict=True)
    return pa.array([data[a:b].tobytes() if bad else None for a, b, bad in places], pa.large_binary())
