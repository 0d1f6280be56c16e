"""Columns of a chunk as Python values, all rows at once, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import orjson

from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Spans, empty_spans


class Absent:
    """The value of a key that a record does not have: to a template it is not the same as None."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


def values_of(column: Spans, rows: Sequence[int] | None = None) -> list[Any]:
    """The values of a column, or of some rows of it, as Python's json reads them, or ABSENT."""
    data = column.data.tobytes()
    at = slice(None) if rows is None else np.asarray(rows, np.int64)
    start, kind = column.start[at], column.kind[at]
    places = zip(start.tolist(), (start + column.length[at]).tolist(), strict=True)
    kinds = set(np.unique(kind).tolist())
    if kinds <= _PLAIN and data.isascii():
        text = data.decode("ascii")
        return [text[begin:end] for begin, end in places]
    raw = [data[begin:end] for begin, end in places]
    if kinds == {layout.JSON}:
        return _all_json(raw)
    return [_READ[what](text) for text, what in zip(raw, kind.tolist(), strict=True)]


def _all_json(raw: list[bytes]) -> list[Any]:
    """As `_json` reads each, in one call."""
    joined = b",".join(raw)
    if _LONG.search(joined):
        return list(map(_json, raw))
    values: list[Any] = orjson.loads(b"[" + joined + b"]")
    return values


def _body(raw: bytes) -> Any:
    return orjson.loads(b'"' + raw + b'"')


def _json(raw: bytes) -> Any:
    """As Python's json reads it: orjson makes floats of integers that have more than 64 bits."""
    return json.loads(raw) if _LONG.search(raw) else orjson.loads(raw)


_LONG = re.compile(rb"[0-9]{16}")
_PLAIN = {layout.PLAIN, layout.CLEAN}
"""Kinds of texts that are their own bytes."""
_READ: dict[int, Callable[[bytes], Any]] = {
    layout.ABSENT: lambda raw: ABSENT,
    layout.NULL: lambda raw: None,
    layout.PLAIN: bytes.decode,
    layout.CLEAN: bytes.decode,
    layout.CANONICAL: _body,
    layout.ESCAPED: _body,
    layout.JSON: _json,
}
"""What reads a value of each kind."""


def spans_of(values: Iterable[Any]) -> Spans:
    """Values as a column: a text as text, None as null, ABSENT as absent, all else as JSON."""
    given = list(values)
    kinds = set(map(type, given))
    if kinds <= {Absent}:
        return empty_spans(len(given))
    if kinds == {str} and (joined := "".join(given)).isascii():
        data, kind = joined.encode(), np.full(len(given), layout.PLAIN, np.uint8)
        length = np.fromiter(map(len, given), np.int64, len(given))
    else:
        made = [_spelled(value) for value in given]
        data = b"".join(raw for raw, _ in made)
        length = np.fromiter((len(raw) for raw, _ in made), np.int64, len(made))
        kind = np.fromiter((kind for _, kind in made), np.uint8, len(made))
    start = np.zeros(len(given), np.int64)
    np.cumsum(length[:-1], out=start[1:])
    start[kind <= layout.NULL] = 0
    return Spans(np.frombuffer(data, np.uint8), start, length, kind)


def _spelled(value: Any) -> tuple[bytes, int]:
    if isinstance(value, str):
        return value.encode(), layout.PLAIN
    if value is None:
        return b"", layout.NULL
    if value is ABSENT:
        return b"", layout.ABSENT
    return spelled_json(value), layout.JSON


def spelled_json(value: Any) -> bytes:
    """A value as JSON in UTF-8; integers of any size."""
    try:
        return orjson.dumps(value)
    except TypeError:  # what has more than 64 bits, or is a date of a table's sample
        return json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":")).encode()


def json_text(value: Any) -> Any:
    """What JSON in a text says, where a text is a JSON list or object, as in CSV; else the value itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            held = json.loads(value)
            if "\\ud" in value.lower():
                json.dumps(held, ensure_ascii=False).encode()  # half a surrogate pair is no text
        except (ValueError, RecursionError):
            return value
        return held
    return value


def chosen(where: np.ndarray, one: Spans, other: Spans) -> Spans:
    """The values of one column where `where` is true, and of another elsewhere."""
    if not where.any():
        return other
    data, shift = one.data, 0
    if one.data.ctypes.data != other.data.ctypes.data and len(other.data):
        data, shift = np.concatenate((one.data, other.data)), len(one.data)
    start = np.where(where, one.start, other.start + shift)
    length = np.where(where, one.length, other.length)
    kind = np.where(where, one.kind, other.kind)
    return Spans(data, start, length, kind)
