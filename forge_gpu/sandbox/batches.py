"""Rows of JSON as batches for `transform_batch`, and what it made of them as rows of JSON.

Rows of one batch have the same columns of the same types, which each row decides for itself: so what a row
looks like to a script does not depend on the rows beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from forge_gpu.io.columns import arrow_spans
from forge_gpu.io.to_arrow import text_to_arrow
from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.render import render
from forge_gpu.kernels.cpu.scan import scan_records
from forge_gpu.kernels.layout import I64, PADDING, U8, ProgramTable, Records, Spans, Text
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.plain import frozen
from forge_gpu.sandbox.inside.columns import BOOL, FLOAT, INT, JSON, SIZE, TEXT, TYPES, decode
from forge_gpu.sandbox.inside.frames import REJECTION, ROW

KINDS = (TEXT, INT, FLOAT, BOOL, JSON)
"""Of a column, by its code."""
OF_TEXT, OF_INT, OF_FLOAT, OF_BOOL, OF_JSON = range(len(KINDS))
LONGEST_INT = 18
"""Digits of a number that is surely within int64, with a sign."""
ANY_LENGTH = 2**62
ESCAPED, VALUE = 6, 25
"""Bytes that a byte of a text becomes at most, and a number, or two quotes."""
STYLES = (0, 1)
"""Blanks after a colon or a comma, as most programs write JSON."""
QUOTES = np.isin(np.arange(256), layout.BODIES).astype(np.int64)
"""By the kind of a value, whether it stands between quotes."""
BOOLS = np.frombuffer(b"tf", np.uint8)
NO_NUMBERS = np.frombuffer(b"tf[{", np.uint8)
FLOAT_BYTES = np.isin(np.arange(256), np.frombuffer(b".eE", np.uint8))
"""By byte, whether a number with it is no integer."""


@frozen
class Given:
    """Rows that go to a script at once. places: int64[n], where they stand among the rows of the piece."""

    places: I64
    batch: pa.RecordBatch


def batches_of(lines: bytes, scratch: Scratch) -> Iterator[Given]:
    """Rows, a JSON object a line, as batches, with a column ROW that numbers them.

    Raises ValueError for a row with a column of that name, or of REJECTION.
    """
    end = lines.find(b"\n")
    names = tuple(orjson.loads(lines[: end if end >= 0 else len(lines)]))
    records = scan_records(np.frombuffer(lines, np.uint8), "lines", names, ANY_LENGTH, scratch)
    alike = _has_these_keys_alone(records, names)
    others = np.flatnonzero(~alike)
    rows = lines.split(b"\n") if len(others) else []
    yield from _by_kinds(records, np.flatnonzero(alike), np.flatnonzero(alike), scratch)
    by_names: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place in others.tolist():
        by_names[tuple(orjson.loads(rows[place]))].append(place)
    for names, places in by_names.items():
        text = np.frombuffer(b"\n".join(rows[place] for place in places), np.uint8)
        records = scan_records(text, "lines", names, ANY_LENGTH, scratch)
        yield from _by_kinds(records, np.arange(len(places)), np.array(places), scratch)


def _has_these_keys_alone(records: Records, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Of records as they are mostly spelled: whether each has these keys, once, in this order, and no other.

    What lies between two values is their keys and so many blanks; another key would take more room.
    """
    alike = np.zeros(len(records), np.bool_)
    for blanks in STYLES:
        exact = np.ones(len(records), np.bool_)
        at = records.start
        for place, name in enumerate(names):
            column = records.columns[name]
            quote = QUOTES[column.kind]
            at = at + len(b'{"":') - 2 + len(orjson.dumps(name)) + (blanks if place else 0) + blanks
            is_null = column.kind == layout.NULL  # and has no place of its own
            exact &= (column.kind != layout.ABSENT) & (is_null | (column.start - quote == at))
            at = at + np.where(is_null, len(b"null"), column.length + 2 * quote)
        alike |= exact & (records.start + records.length - at == len(b"}"))
        if alike.all():
            break
    return alike


def _by_kinds(records: Records, chosen: I64, places: I64, scratch: Scratch) -> Iterator[Given]:
    """The chosen records, in batches whose columns have one kind each. places: of each, where it stands among
    the rows of the piece."""
    if not len(chosen):
        return
    if {ROW, REJECTION} & records.columns.keys():
        raise ValueError(f"a row has a column {ROW} or {REJECTION}, which transform_batch uses itself")
    codes = np.array([_codes(column)[chosen] for column in records.columns.values()]).reshape(-1, len(chosen))
    if (codes == codes[:, :1]).all():
        groups = np.zeros(len(chosen), np.int64)
    else:
        groups = np.unique(codes, axis=1, return_inverse=True)[1].reshape(-1)
    for group in range(int(groups.max()) + 1):
        members = np.flatnonzero(groups == group)
        arrays = [
            _array(column, KINDS[code], chosen[members], scratch)
            for column, code in zip(records.columns.values(), codes[:, members[0]], strict=True)
        ]
        arrays.append(pa.array(np.arange(len(members))))
        yield Given(places[members], pa.RecordBatch.from_arrays(arrays, [*records.columns, ROW]))


def _codes(column: Spans) -> npt.NDArray[np.uint8]:
    """The kind of each value, by its first byte, and of a number by all of them. A null is a text, too."""
    codes = np.full(len(column), OF_TEXT, np.uint8)
    values = np.flatnonzero(column.kind == layout.JSON)
    first = column.data[column.start[values]]
    is_number = ~np.isin(first, NO_NUMBERS)
    codes[values] = np.where(is_number, OF_INT, np.where(np.isin(first, BOOLS), OF_BOOL, OF_JSON))
    numbers = values[is_number]
    if len(numbers):
        is_long = column.length[numbers] > LONGEST_INT
        codes[numbers] = np.where(_are_floats(column, numbers), OF_FLOAT, np.where(is_long, OF_JSON, OF_INT))
    return codes


def _are_floats(column: Spans, numbers: I64) -> npt.NDArray[np.bool_]:
    """Of values that are numbers, by all of their bytes."""
    text, first = column.joined(numbers)
    return np.logical_or.reduceat(FLOAT_BYTES[text], first)


def _array(column: Spans, kind: str, rows: I64, scratch: Scratch) -> pa.Array:
    """The values of these rows, all of one kind."""
    if kind == BOOL:
        return pa.array(column.data[column.start[rows]] == ord("t"))
    text = render(_VALUE, np.zeros(len(column), np.int32), [column], rows, layout.AS_TEXT, None, scratch)
    valid = column.kind[rows] != layout.NULL
    texts = text_to_arrow(Text(text.data[: text.offsets[-1]].copy(), text.offsets.copy()), valid)
    if kind == JSON:
        return pa.ExtensionArray.from_storage(TYPES[JSON], texts.cast(pa.string()))
    return texts.cast(TYPES[kind])


def lines_of(made: memoryview, most: int, scratch: Scratch) -> bytes:
    """The rows of an answer as JSON lines, each with its line break. most: bytes of them.

    Raises ValueError where it is no answer, or makes more lines, and else what `columns.decode` raises.
    """
    batches = [decode(body) for body in _bodies(made)]
    room = most - sum(map(_bytes_beside_texts, batches))
    texts = [text for batch in batches for text in _texts(batch)]
    if ESCAPED * sum(map(len, texts)) > room and sum(map(_escaped_bytes, texts)) > room:
        raise ValueError("its rows are too large as lines")
    return b"".join([_lines(batch, scratch) for batch in batches])


def _bodies(made: memoryview) -> Iterator[memoryview]:
    """The batches of an answer, each behind its size."""
    at = 0
    while at < len(made):
        size = SIZE.unpack_from(made, at)[0]
        at += SIZE.size
        if at + size > len(made):
            raise ValueError("its sizes do not fit")
        yield made[at : at + size]
        at += size


def _bytes_beside_texts(batch: pa.RecordBatch) -> int:
    """What all else becomes at most as lines: a few bits may be long names and many rows."""
    names = sum(len(name.encode()) * ESCAPED + len(b',"":') for name in batch.schema.names)
    return len(batch) * (names + VALUE * len(batch.columns) + 2)


def _texts(batch: pa.RecordBatch) -> list[U8]:
    """The bytes of the columns that are not numbers."""
    columns = [column for column in batch.columns if not pa.types.is_primitive(column.type)]
    stored = [column.storage if isinstance(column, pa.ExtensionArray) else column for column in columns]
    return [np.frombuffer(column.buffers()[2], np.uint8) for column in stored]


def _escaped_bytes(text: U8) -> int:
    """Of a text as JSON has it."""
    return len(text) + (ESCAPED - 1) * int(np.count_nonzero((text < ord(" ")) | (text == 34) | (text == 92)))


def _lines(batch: pa.RecordBatch, scratch: Scratch) -> bytes:
    columns = [_spans(column) for column in batch.columns]
    rows = np.arange(len(batch))
    program = np.zeros(len(batch), np.int32)
    text = render(_object(batch.schema.names), program, columns, rows, layout.AS_JSON, None, scratch)
    return text.data[: text.offsets[-1]].tobytes()


def _spans(column: pa.Array) -> Spans:
    """A column as spans; values of JSON are written as they are, and looked at by whoever scans the lines."""
    spans = arrow_spans(column)
    if isinstance(column, pa.ExtensionArray):
        spans.kind[spans.kind == layout.PLAIN] = layout.JSON
    return spans


def _table(
    literals: Sequence[bytes], parts: Sequence[tuple[int, int, int, int]], columns: int
) -> ProgramTable:
    """One program of raw slots and literals."""
    return ProgramTable(
        part=np.array(parts, np.int32),
        program=np.array([0, len(parts)], np.int32),
        literals=np.frombuffer(b"".join(literals) + bytes(PADDING), np.uint8),
        literal_offsets=np.cumsum([0, *map(len, literals)]),
        columns=tuple(map(str, range(columns))),
        level=np.zeros(columns, np.uint8),
    )


def _object(names: Sequence[str]) -> ProgramTable:
    """A row as a JSON object, with its line break."""
    keys = [(b"," if place else b"{") + orjson.dumps(name) + b":" for place, name in enumerate(names)]
    parts = []
    for place in range(len(names)):
        parts += [(layout.LITERAL, place, -1, 0), (layout.RAW_SLOT, -1, place, 0)]
    return _table([*keys, b"}\n"], [*parts, (layout.LITERAL, len(names), -1, 0)], len(names))


_VALUE = _table([], [(layout.SLOT, -1, 0, 0)], 1)
"""The text of a value."""
