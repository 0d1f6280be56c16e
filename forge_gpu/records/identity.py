"""One value however it is spelled: what makes two values of a column the same, for groups, strata and keys.

A number is its canonical decimal text, and a text is the same only where it is spelled so: 101, 101.0 and
"101" are one value, "007" and 7 are two. true is not "true". A list or an object is its JSON, keys sorted.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np

from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Spans

MOST_ZEROS = 400
"""A number with more zeros than a float64 can have is written with an exponent."""


def identity_of(column: Spans) -> Spans:
    """A column whose values are equal, as texts, where the values are the same. No copy where they are so
    already, as texts and whole numbers are."""
    rows = np.flatnonzero(column.kind == layout.JSON)
    rows = rows[_is_odd(column, rows)] if len(rows) else rows
    if not len(rows):
        return column
    texts = [_canonical(column.raw(row)) for row in rows.tolist()]
    length = np.fromiter(map(len, texts), np.int64, len(texts))
    start, lengths, kind = column.start.copy(), column.length.copy(), column.kind.copy()
    start[rows] = column.size + np.cumsum(length) - length
    lengths[rows], kind[rows] = length, layout.PLAIN
    data = np.concatenate((column.data, np.frombuffer(b"".join(texts), np.uint8)))
    return Spans(data, start, lengths, kind)


def _is_odd(column: Spans, rows: I64) -> np.ndarray:
    """Which of some JSON values are no whole numbers as they are mostly spelled: bool[m]."""
    length = column.length[rows]
    bytes_, first = column.joined(rows)
    is_digit = (bytes_ >= ord("0")) & (bytes_ <= ord("9"))
    is_digit[first] |= (bytes_[first] == ord("-")) & (length > 1)
    odd = ~np.logical_and.reduceat(is_digit, first)
    negative = bytes_[first] == ord("-")
    odd |= negative & (bytes_[np.minimum(first + 1, len(bytes_) - 1)] == ord("0"))
    result: np.ndarray = odd
    return result


def _canonical(raw: bytes) -> bytes:
    if raw in (b"true", b"false"):
        return b"\0" + raw
    return _spelled(json.loads(raw, parse_float=Decimal, parse_int=Decimal)).encode()


def _spelled(value: Any) -> str:
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_spelled, value)) + "]"
    if isinstance(value, dict):
        members = (f"{json.dumps(key)}:{_spelled(value[key])}" for key in sorted(value))
        return "{" + ",".join(members) + "}"
    return json.dumps(value)


def _decimal(number: Decimal) -> str:
    """Every digit and no more: 1e2 is 100, 1.50 is 1.5, -0 is 0."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).lstrip("0")
    bare = text.rstrip("0")
    exponent += len(text) - len(bare)
    if not bare:
        return "0"
    mark = "-" if sign else ""
    if abs(exponent) + len(bare) > MOST_ZEROS:
        return f"{mark}{bare}e{exponent}"
    if exponent >= 0:
        return mark + bare + "0" * exponent
    bare = bare.rjust(1 - exponent, "0")
    return f"{mark}{bare[:exponent]}.{bare[exponent:]}"
