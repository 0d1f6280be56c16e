"""Spans as Python values, for the rows that kernels do not take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import U8, Spans
from forge_gpu.records.refused import BadRecord
from forge_gpu.records.values import ABSENT as ABSENT

GOOD = int(Reason.NONE)
"""For comparisons with arrays: a member of an enumeration is converted anew each time."""


def value_of(column: Spans, i: int) -> Any:
    """Value i as Python's json reads it, ABSENT where there is none. Raises BadRecord where it reads nothing:
    integers of more digits than Python takes, and values that are nested too deep."""
    kind = column.kind[i]
    if kind == layout.ABSENT:
        return ABSENT
    if kind == layout.NULL:
        return None
    if kind != layout.JSON:
        return text_of_span(column, i)
    try:
        return json.loads(column.raw(i))
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"a value cannot be read: {str(error).partition(';')[0]}") from None


def text_of_span(column: Spans, i: int) -> str:
    """Value i as text: what a render writes for it; a JSON value is its own text, null and absent are ""."""
    raw = column.raw(i)
    if column.kind[i] in (layout.CANONICAL, layout.ESCAPED):
        return str(json.loads(b'"' + raw + b'"'))
    return raw.decode()


def missing(reason: U8, column: Spans) -> None:
    """Refuse the rows, not refused yet, that lack a column or have null there. Changes `reason`."""
    if not len(column) or column.kind.min() > layout.NULL:
        return
    good = reason == GOOD
    reason[good & (column.kind == layout.ABSENT)] = Reason.MISSING_FIELD
    reason[good & (column.kind == layout.NULL)] = Reason.NULL_FIELD


def no_text(reason: U8, column: Spans) -> None:
    """Refuse the rows, not refused yet, that have a list or an object in a column. Changes `reason`."""
    rows = np.flatnonzero((column.kind == layout.JSON) & (reason == GOOD))
    if len(rows):
        first = column.data[column.start[rows]]
        reason[rows[(first == ord("[")) | (first == ord("{"))]] = Reason.NOT_A_TEXT


def lacking(needed: Mapping[str, Spans], reason: U8, row: int) -> str:
    """Which column a row lacks, or has no text in, where that is its reason."""
    if reason[row] == Reason.NOT_A_TEXT:
        return next((fault for name, column in needed.items() if (fault := _nested(name, column, row))), "")
    kind = {Reason.MISSING_FIELD: layout.ABSENT, Reason.NULL_FIELD: layout.NULL}.get(Reason(reason[row]))
    column = next((name for name, column in needed.items() if column.kind[row] == kind), None)
    return "" if column is None else f"{column!r} is {'missing' if kind == layout.ABSENT else 'null'}"


def _nested(name: str, column: Spans, row: int) -> str:
    what = {b"[": "a list", b"{": "an object"}.get(column.raw(row)[:1])
    return f"{name!r} is {what}, not a text" if what and column.kind[row] == layout.JSON else ""


def has_text(column: Spans) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where a column has a text that is not empty."""
    return column.length > 0


def as_text(column: Spans) -> Spans:
    """The column with JSON values taken for their own text (kind PLAIN). No copy of bytes."""
    if not (column.kind == layout.JSON).any():
        return column
    kind = np.where(column.kind == layout.JSON, np.uint8(layout.PLAIN), column.kind)
    return column.over(column.start, column.length, kind)
