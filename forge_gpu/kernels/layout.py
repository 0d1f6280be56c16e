"""Memory layouts that sources, engines and kernels share. Arrays only: no behaviour of any engine.

The unit is a *span*: a start and a length, in bytes, into a byte buffer, and a kind that says how the
bytes spell the value. A JSON line is scanned into spans of its own bytes, so a text goes from the
input to the output without being decoded in between; an Arrow string column is spans too (kind PLAIN).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from forge_gpu.plain import frozen

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

PADDING = 64
"""Bytes that a kernel may write past the end of its output: every output buffer has them to spare.

Input buffers need no padding: a kernel reads nothing outside [0, size) of a buffer.
"""

# Kinds of a span.
ABSENT = 0  # the record has no such key
NULL = 1  # JSON null, Arrow null
PLAIN = 2  # UTF-8 text as it is; may hold anything
CLEAN = 3  # UTF-8 text that is its own JSON string body: no byte below 0x20, no quote, no backslash
CANONICAL = 4  # body of a JSON string with at least one backslash escape, all in the canonical form
ESCAPED = 5  # body of a JSON string with backslash escapes, checked to be valid, in any form
JSON = 6  # the text of a JSON value that is no string: number, true, false, object, array

BODIES = (CLEAN, CANONICAL, ESCAPED)
"""Kinds of a JSON string's body."""
TEXTS = (PLAIN, *BODIES)
"""Kinds of a text."""

MAX_DEPTH = 512
"""Arrays and objects may be nested this deep in a record, the record's own object included."""

# Outcomes of walking a block of a streamed JSON array (see reference/structure.py).
MORE = 0  # the block ended first
CUT = 1  # a place between two elements
ENDED = 2  # the bracket that closes the array

# Operations of a program part.
LITERAL = 0  # write literal `literal`
SLOT = 1  # write the text of `column`; ABSENT and NULL write nothing
LITERAL_IF_TEXT = 2  # write literal `literal` where `column` has a text that is not empty
RAW_SLOT = 3  # write `column` as a JSON value as the input spells it; NULL is `null`, ABSENT nothing
LITERAL_IF_PRESENT = 4  # write literal `literal` where `column` is not ABSENT

# Encodings of what a render writes.
AS_TEXT = 0  # slots are written as plain UTF-8
AS_JSON = 1  # slots are written as JSON string bodies in the canonical form (see reference/jsontext.py)


class Spans:
    """One column: `n` values inside one byte buffer.

    data: uint8[size], wholly readable. start, length: int64[n], bytes; start[i]+length[i] <= size.
    kind: uint8[n], one of the kinds above. ABSENT and NULL have start 0 and length 0.
    """

    __slots__ = ("_data", "kind", "length", "start")

    def __init__(self, data: U8, start: I64, length: I64, kind: U8) -> None:
        self._data = data
        self.start: Final = start
        self.length: Final = length
        self.kind: Final = kind

    @property
    def data(self) -> U8:
        return self._data

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def size(self) -> int:
        """Bytes of the buffer."""
        return len(self.data)

    def raw(self, i: int) -> bytes:
        """The bytes of value `i` as the buffer spells them."""
        return self.data[self.start[i] : self.start[i] + self.length[i]].tobytes()

    def joined(self, rows: I64) -> tuple[U8, I64]:
        """The bytes of some values one behind the other, and where each begins there: int64[m]."""
        length = self.length[rows]
        first = np.cumsum(length) - length
        at = np.arange(int(length.sum())) + np.repeat(self.start[rows] - first, length)
        return self.data[at], first

    def over(self, start: I64, length: I64, kind: U8) -> Spans:
        """Other values in the same bytes."""
        return Spans(self.data, start, length, kind)

    def window(self, low: int, high: int, start: I64, length: I64, kind: U8) -> Spans:
        """Values at other places, in bytes low ... high - 1 of the buffer, which stay where they are."""
        return Spans(self.data[low:high], start, length, kind)

    def part(self, rows: slice) -> Spans:
        """Some consecutive values, over no more bytes than they need."""
        start, length, kind = self.start[rows], self.length[rows], self.kind[rows]
        used = length > 0
        if not used.any():
            return self.window(0, 0, np.zeros_like(start), np.zeros_like(length), kind)
        low = int(start[used].min())
        high = int((start[used] + length[used]).max())
        return self.window(low, high, np.where(used, start - low, 0), length, kind)

    def without(self, refused: npt.NDArray[np.bool_]) -> Spans:
        """The values with those that are refused ABSENT, as a scan of JSON leaves them."""
        keep = ~refused
        kind = np.where(keep, self.kind, ABSENT).astype(np.uint8)
        return self.over(self.start * keep, self.length * keep, kind)


class Text:
    """A rendered column in Arrow's layout: row i is data[offsets[i]:offsets[i+1]].

    data: uint8[>= offsets[-1] + PADDING]; offsets: int64[n + 1].
    """

    __slots__ = ("_data", "offsets")

    def __init__(self, data: U8, offsets: I64) -> None:
        self._data = data
        self.offsets: Final = offsets

    @property
    def data(self) -> U8:
        return self._data

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, i: int) -> bytes:
        return self.data[self.offsets[i] : self.offsets[i + 1]].tobytes()


@frozen
class Records:
    """What a scan of one chunk finds: n records and their wanted columns.

    data: uint8[size], the chunk. start, length: int64[n], the source bytes of each record, without its
    line end or comma. reason: uint8[n], a `fates.Reason`; 0 where the record is good. Where it is not,
    all columns of the record are ABSENT. columns: one Spans over `data` a wanted key.
    """

    data: U8
    start: I64
    length: I64
    reason: U8
    columns: dict[str, Spans]

    def __len__(self) -> int:
        return len(self.start)

    def over(self, start: I64, length: I64, reason: U8, columns: dict[str, Spans]) -> Records:
        """Other records of the same bytes."""
        return Records(self.data, start, length, reason, columns)

    def with_columns(self, columns: dict[str, Spans]) -> Records:
        """The same records with other columns."""
        return self.over(self.start, self.length, self.reason, columns)

    def spans(self, kind: U8) -> Spans:
        """The records themselves as a column."""
        return Spans(self.data, self.start, self.length, kind)

    def source(self, i: int) -> bytes:
        """The bytes of record `i`."""
        return self.data[self.start[i] : self.start[i] + self.length[i]].tobytes()


ROLE_FIRST, CONTENT_FIRST, WITH_LISTS = 1, 2, 4
"""How the messages of a plain row spell their two keys: templates that write messages as JSON show it."""


@frozen
class Messages:
    """Conversations, flattened: row r has the messages first[r] ... first[r+1]-1.

    first: int64[n + 1]. role: uint8[m], an index into the role names that the scan was given; 255 where
    the role is none of them or is no string. content: Spans[m]. plain: uint8[n], ROLE_FIRST or CONTENT_FIRST
    where every message of the row has just a known role and a string content, all in that order: such rows
    never need the slow path; with WITH_LISTS added, where contents are lists instead; else 0.
    reason: uint8[n], `fates.Reason`: rows that are no list of objects.
    """

    first: I64
    role: U8
    content: Spans
    plain: U8
    reason: U8


@dataclass(frozen=True, slots=True, eq=False)
class ProgramTable:
    """Templates as data: `k` programs of parts over columns; the same table is read by every engine.

    Its arrays do not change once it is made, and a table equals itself alone: what is derived from one is
    kept, and found again by the table.

    part: int32[p, 4] with (operation, literal, column, element) a row. `literal` and `column` index
    below, -1 where not used; `element` is the number of the message within the row for a column of
    message level, 0 for a column of row level. program: int32[k + 1], parts of program j are
    part[program[j]:program[j+1]]. literals: uint8[...] with PADDING to spare, literal i is
    literals[literal_offsets[i]:literal_offsets[i+1]], already in the encoding of the render.
    columns: names, in the order that `column` counts. level: uint8[c], 0 row, 1 message.
    """

    part: I32
    program: I32
    literals: U8
    literal_offsets: I64
    columns: tuple[str, ...]
    level: U8

    def __len__(self) -> int:
        return len(self.program) - 1


def empty_spans(n: int, kind: int = ABSENT) -> Spans:
    """`n` values of kind ABSENT or NULL over an empty buffer."""
    zero = np.zeros(n, np.int64)
    return Spans(np.zeros(0, np.uint8), zero, zero, np.full(n, kind, np.uint8))


def spans_of_offsets(
    data: U8, offsets: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None
) -> Spans:
    """Arrow's layout as spans of kind PLAIN, without a copy of the bytes; rows not `valid` are NULL."""
    start = offsets[:-1].astype(np.int64)
    length = np.diff(offsets).astype(np.int64)
    kind = np.full(len(start), PLAIN, np.uint8)
    if valid is not None:
        gone = ~valid
        kind[gone] = NULL
        start[gone] = 0
        length[gone] = 0
    return Spans(data, start, length, kind)
