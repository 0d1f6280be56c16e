"""What stands under a key, or at a place, in each value of a column: the plain meaning of
`kernels/cpu/members.py`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forge_gpu.kernels.layout import ABSENT, JSON, NULL, Spans
from forge_gpu.kernels.reference.grammar import Fault, decoded, span_of, value_end
from forge_gpu.kernels.scratch import Scratch

Found = tuple[int, int, int]
"""(start, length, kind) of a value."""

LAST = -1
"""The place of a list's last element."""

NOTHING: Found = (0, 0, ABSENT)


def scan_members(column: Spans, keys: Sequence[str], scratch: Scratch | None = None) -> dict[str, Spans]:
    """The values of `keys` in each JSON object of a column; ABSENT where a value is none, or lacks the key.

    column: Spans[n]. Keys are compared decoded; of equal keys in an object the last one counts.
    """
    rows = [dict(_found(column, i, b"{")) for i in range(len(column))]
    return {key: _spans(column, [row.get(key, NOTHING) for row in rows]) for key in keys}


def scan_elements(column: Spans, place: int, scratch: Scratch | None = None) -> Spans:
    """The element at `place`, from 0, or LAST, of each JSON list of a column; ABSENT where there is none.

    Raises ValueError where the place is below LAST.
    """
    if place < LAST:
        raise ValueError(f"no place in a list: {place}")
    rows = [[result for _, result in _found(column, i, b"[")] for i in range(len(column))]
    return _spans(column, [row[place] if row and place < len(row) else NOTHING for row in rows])


def _found(column: Spans, i: int, opening: bytes) -> list[tuple[str, Found]]:
    """The members of an object, or the elements of a list; none where the value is none."""
    offset, text = int(column.start[i]), column.raw(i)
    if column.kind[i] != JSON or text[:1] != opening:
        return []
    result: list[tuple[str, Found]] = []

    def visit(key: bytes, at: int, end: int) -> None:
        start, length, kind = span_of(text, at, end)
        name = decoded(key) if opening == b"{" else ""
        result.append((name, (start + offset if kind != NULL else 0, length, kind)))

    try:
        return result if value_end(text, 0, visit=visit) == len(text) else []
    except Fault:
        return []


def _spans(column: Spans, result: Sequence[Found]) -> Spans:
    spans = np.array(result, np.int64).reshape(-1, 3)
    return Spans(column.data, spans[:, 0], spans[:, 1], spans[:, 2].astype(np.uint8))
