"""Records of a chunk of JSON: the plain meaning of `kernels/cpu/scan.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.kernels.layout import CUT, ENDED, NULL, U8, Records, Spans
from forge_gpu.kernels.reference.grammar import (
    Fault,
    after_blank,
    decoded,
    has_lone_surrogate,
    span_of,
    value_end,
)
from forge_gpu.kernels.reference.structure import walk_array
from forge_gpu.kernels.scratch import Scratch


def scan_records(
    data: U8, form: str, keys: Sequence[str], max_row_bytes: int, scratch: Scratch | None = None
) -> Records:
    r"""Find the records of a chunk and, in each, the values of `keys`.

    data: uint8[size], a whole chunk. form "lines": every line that is not blank (space, tab, \r) is a
    record; the last may lack its \n. form "array": elements of a JSON array with a comma after each but
    perhaps the last, as `walk_array` cuts them; where an element is broken, the next one begins where the
    rule of reference/structure.py says. Nothing but white space after a comma is the end of the chunk, not
    an element. In both forms a record is without the white space around it.

    reason: of what is wrong with a record, the first of ROW_TOO_LONG, INVALID_UTF8, INVALID_JSON or
    TOO_DEEP (what a reader from the left meets first), LONE_SURROGATE, NOT_AN_OBJECT. The columns of such
    a record are ABSENT. Keys are compared decoded; of equal keys the last one counts.
    Raises ValueError where `form` is neither.
    """
    text = data.tobytes()
    if form not in ("lines", "array"):
        raise ValueError(f"form is {form!r}, neither 'lines' nor 'array'")
    extents = list(_lines(text) if form == "lines" else _elements(text))
    reasons = [_reason(text[start:end], max_row_bytes) for start, end in extents]
    values = [
        {} if reason else _members(text[start:end], start)
        for (start, end), reason in zip(extents, reasons, strict=True)
    ]
    columns = {}
    for key in keys:
        spans = np.array([row.get(key, (0, 0, 0)) for row in values], np.int64).reshape(-1, 3)
        columns[key] = Spans(data, spans[:, 0], spans[:, 1], spans[:, 2].astype(np.uint8))
    where = np.array(extents, np.int64).reshape(-1, 2)
    return Records(data, where[:, 0], where[:, 1] - where[:, 0], np.array(reasons, np.uint8), columns)


def _lines(text: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    for line in text.split(b"\n"):
        first = after_blank(line, 0)
        if first < len(line):
            yield start + first, start + len(line.rstrip(b" \t\r"))
        start += len(line) + 1


def _elements(text: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    while (start := after_blank(text, start)) < len(text):
        at, end = _element_end(text, start)
        yield start, start + len(text[start:end].rstrip(b" \t\r\n"))
        start = at


def _element_end(text: bytes, start: int) -> tuple[int, int]:
    """Where to go on after the element that begins at `start`, and where it ends. A bracket that
    closes more than was opened in it is a byte like any other."""
    state = np.array([1, 0, 0, 0], np.int64)
    data = np.frombuffer(text, np.uint8)
    at = walk_array(data, start, start, state)
    while state[3] == ENDED:
        state[0] = 1
        at = walk_array(data, at + 1, start, state)
    return at, at - 1 if state[3] == CUT else at


def _reason(record: bytes, max_row_bytes: int) -> int:
    if len(record) > max_row_bytes:
        return Reason.ROW_TOO_LONG
    try:
        record.decode()
        start = after_blank(record, 0)
        if after_blank(record, value_end(record, start)) != len(record):
            return Reason.INVALID_JSON
    except UnicodeDecodeError:
        return Reason.INVALID_UTF8
    except Fault as fault:
        return fault.reason
    if has_lone_surrogate(record):
        return Reason.LONE_SURROGATE
    return Reason.NONE if record[start : start + 1] == b"{" else Reason.NOT_AN_OBJECT


def _members(record: bytes, offset: int) -> dict[str, tuple[int, int, int]]:
    """The (start, length, kind) of the members of a good record that begins at `offset`."""
    members: dict[str, tuple[int, int, int]] = {}

    def visit(key: bytes, at: int, end: int) -> None:
        start, length, kind = span_of(record, at, end)
        members[decoded(key)] = (start + offset if kind != NULL else 0, length, kind)

    value_end(record, after_blank(record, 0), visit=visit)
    return members
