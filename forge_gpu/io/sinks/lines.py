"""Lines of JSON as Arrow batches, and in blocks that depend on the lines alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forge_gpu.errors import ValidationError
from forge_gpu.io.sinks.base import OutputPath
from forge_gpu.io.to_arrow import numbers_to_arrow, text_to_arrow
from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.jsontext import decode
from forge_gpu.kernels.cpu.render import render
from forge_gpu.kernels.cpu.scan import scan_records
from forge_gpu.kernels.cpu.token_rows import from_json
from forge_gpu.kernels.layout import I64, U8, Records, Spans, Text
from forge_gpu.kernels.scratch import Scratch

BLOCK_BYTES = 2**20
NO_BOUND = 2**62
RECORD = "record"
"""The one column of the form `source`, whose records have columns of their own: each whole, as JSON text."""

_TYPES = {
    "string": pa.large_string(),
    "json": pa.large_string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "ids": pa.list_(pa.int32()),
}
_VALUE = layout.ProgramTable(
    part=np.array([[layout.RAW_SLOT, -1, 0, 0]], np.int32),
    program=np.array([0, 1], np.int32),
    literals=np.zeros(layout.PADDING, np.uint8),
    literal_offsets=np.zeros(1, np.int64),
    columns=("value",),
    level=np.zeros(1, np.uint8),
)
"""The program of one column as its JSON value."""


def schema_of(columns: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema of a manifest's `columns`, which are {} for the form `source`; columns of JSON text
    say so in their metadata."""
    return pa.schema(
        [
            pa.field(name, _TYPES[kind], metadata={"forge": "json"} if kind == "json" else None)
            for name, kind in (columns or {RECORD: "json"}).items()
        ]
    )


def scan_lines(block: U8, keys: Sequence[str], scratch: Scratch, path: OutputPath | None) -> Records:
    """The records of lines, of the file at `path` if they are of one. Raises ValidationError where a line is
    no JSON object."""
    records = scan_records(block, "lines", keys, NO_BOUND, scratch)
    if records.reason.any():
        row = int(np.flatnonzero(records.reason)[0])
        start = records.start[row]
        line = records.data[start : start + min(int(records.length[row]), 80)].tobytes()
        raise ValidationError(f"{path or 'a split'}: holds a line that is not a JSON record", f": {line!r}")
    return records


class LinesToArrow:
    """Makes batches of lines; keeps its buffers from one to the next."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns, self._schema = columns, schema_of(columns)
        self._scan, self._text, self._render = Scratch(), Scratch(), Scratch()

    def batch(self, block: U8, path: OutputPath | None = None) -> pa.RecordBatch:
        """Whole lines as one Arrow batch with memory of its own. Raises ValidationError."""
        records = scan_lines(block, tuple(self._columns), self._scan, path)
        if self._columns:
            arrays = [self._array(records.columns[name], kind) for name, kind in self._columns.items()]
        else:
            kinds = np.full(len(records), layout.JSON, np.uint8)
            arrays = [self._array(Spans(records.data, records.start, records.length, kinds), "json")]
        return pa.record_batch(arrays, schema=self._schema)

    def _array(self, column: Spans, kind: str) -> pa.Array:
        if kind == "ids":
            return _ids(column)
        valid = (column.kind != layout.NULL) & (column.kind != layout.ABSENT)
        if kind == "json":
            rows = np.arange(len(column), dtype=np.int64)
            program = np.zeros(len(column), np.int32)
            text = render(_VALUE, program, [column], rows, layout.AS_TEXT, None, self._render)
        else:
            text = decode(column, self._text)
        # The buffers are used again for the next column: the array gets memory of its own.
        own = Text(text.data[: text.offsets[-1]].copy(), text.offsets.copy())
        return text_to_arrow(own, valid).cast(_TYPES[kind])


def _ids(column: Spans) -> pa.Array:
    """Lists of whole numbers. Raises ValidationError."""
    try:
        values, offsets = from_json(column.data, column.start, column.length)
    except ValueError as fault:
        raise ValidationError(f"a column of ids holds {fault}") from None
    return lists_to_arrow(values, offsets)


def lists_to_arrow(numbers: npt.NDArray[np.int32], offsets: I64) -> pa.ListArray:
    """Lists over the memory of their numbers: int32[t]; offsets: int64[n + 1], where each begins."""
    own = numbers[offsets[0] : offsets[-1]]
    bounds = numbers_to_arrow((offsets - offsets[0]).astype(np.int32), pa.int32())
    return pa.ListArray.from_arrays(bounds, numbers_to_arrow(own, pa.int32()))


class Blocks:
    """Gathers lines to blocks, each of as many whole lines as fit; one is longer where a line is.

    capacity: the bytes of a block, BLOCK_BYTES at first; what it has become by a long line it stays.
    """

    def __init__(self, capacity: int = BLOCK_BYTES, lines: bytes = b"") -> None:
        self._buffer = np.empty(capacity, np.uint8)
        self._held = self._saved = len(lines)
        self._buffer[: self._held] = np.frombuffer(lines, np.uint8)

    @property
    def capacity(self) -> int:
        return len(self._buffer)

    def add(self, lines: Text) -> Iterator[U8]:
        """Add lines; the blocks that are whole now, each valid until the next is asked for."""
        offsets, begin = lines.offsets, 0
        while begin < len(lines):
            room = len(self._buffer) - self._held
            end = int(np.searchsorted(offsets, offsets[begin] + room, side="right")) - 1
            data = lines.data[offsets[begin] : offsets[end]]
            self._buffer[self._held : self._held + len(data)] = data
            self._held += len(data)
            begin = end
            if begin < len(lines) and self._held:
                yield from self.rest()
            elif begin < len(lines):
                self._buffer = np.empty(2 * len(self._buffer), np.uint8)

    def rest(self) -> Iterator[U8]:
        """What is in no block yet, as the last one; none where that is nothing."""
        if self._held:
            yield self._buffer[: self._held]
            self._held = self._saved = 0

    def unsaved(self) -> U8:
        """The lines in no block yet that were not asked for before; they are taken for saved now."""
        lines = self._buffer[self._saved : self._held]
        self._saved = self._held
        return lines


def blocks_of_lines(path: OutputPath, block_bytes: int = BLOCK_BYTES) -> Iterator[U8]:
    """A file of JSON lines in the blocks that `Blocks` makes of its lines."""
    with path.open("rb", buffering=0) as file:
        buffer = np.empty(block_bytes, np.uint8)
        held = 0
        while True:
            if held == len(buffer):
                buffer = np.concatenate([buffer, np.empty(len(buffer), np.uint8)])
            read = file.readinto(buffer[held:].data)
            end = held + (read or 0)
            if not read:
                if end:
                    yield buffer[:end]
                return
            whole = _after_last_newline(buffer[:end])
            if whole:
                yield buffer[:whole]
                buffer[: end - whole] = buffer[whole:end].copy()
            held = end - whole


def in_pieces(block: U8, count: int) -> list[U8]:
    """Lines in so many pieces of whole lines, about alike; where a line is long some have none."""
    cuts = [_after_last_newline(block[: len(block) * number // count]) for number in range(1, count)]
    return [block[begin:end] for begin, end in pairwise([0, *cuts, len(block)])]


def _after_last_newline(data: U8) -> int:
    for begin in range(len(data), 0, -65536):
        result = np.flatnonzero(data[max(begin - 65536, 0) : begin] == 10)
        if len(result):
            return max(begin - 65536, 0) + int(result[-1]) + 1
    return 0
