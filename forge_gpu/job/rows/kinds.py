"""Kept columns: what kinds of value they hold, and so what type they have in Parquet and Arrow."""

from __future__ import annotations

from enum import IntFlag

import numpy as np
import orjson

from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Spans


class Seen(IntFlag):
    """Kinds of value that a column was seen to hold."""

    TEXT = 1
    GONE = 2  # null or absent
    INTEGER = 4  # fits int64
    REAL = 8  # is the shortest spelling, or the exact one, of a float64
    BOOLEAN = 16
    OTHER = 32  # lists, objects, numbers that no Arrow type holds as they are spelled


# A bit for each kind of span.
_GONE = 1 << layout.ABSENT | 1 << layout.NULL
_TEXT = sum(1 << kind for kind in layout.TEXTS)
_JSON = 1 << layout.JSON


def kinds_seen(column: Spans) -> int:
    """Which of `Seen` the values of a column are, as bits."""
    seen = Seen(0)
    kinds = int(np.bitwise_or.reduce(np.left_shift(np.uint8(1), column.kind), initial=0))
    if kinds & _GONE:
        seen |= Seen.GONE
    if kinds & _TEXT:
        seen |= Seen.TEXT
    for row in np.flatnonzero(column.kind == layout.JSON) if kinds & _JSON else ():
        seen |= _kind_of(column.raw(int(row)))
        if seen & Seen.OTHER:
            break
    return int(seen)


def _kind_of(value: bytes) -> Seen:
    if value in (b"true", b"false"):
        return Seen.BOOLEAN
    if value[:1] in (b"{", b"["):
        return Seen.OTHER
    if value.lstrip(b"-").isdigit():
        return Seen.INTEGER if -(2**63) <= int(value) < 2**63 and value != b"-0" else Seen.OTHER
    # A number keeps its value as a float64 only where that prints as it did.
    return Seen.REAL if orjson.dumps(float(value)) == value else Seen.OTHER


def column_type(kinds: int) -> str:
    """The type that holds every value without loss: string, int64, double, bool, or json.

    json is JSON text: quotes around strings, so that 1 and "1" differ.
    """
    values = Seen(kinds) & ~Seen.GONE
    types = {
        Seen(0): "string",
        Seen.TEXT: "string",
        Seen.INTEGER: "int64",
        Seen.REAL: "double",
        Seen.BOOLEAN: "bool",
    }
    return types.get(values, "json")
