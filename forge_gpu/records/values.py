"""Columns of a chunk as Python values, all rows at once, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import orjson

from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, U8, Spans, empty_spans


class Absent:
    """The value of a key that a record does not have: to a template it is not the same as None."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


def values_of(column: Spans, rows: Sequence[int] | slice = slice(None)) -> list[Any]:
    """The values of a column, or of some rows of it, as Python's json reads them, or ABSENT."""
    data = column.data.data
    at = rows if isinstance(rows, slice) else np.asarray(rows, np.int64)
    start, kind = column.start[at], column.kind[at]
    places = zip(start.tolist(), (start + column.length[at]).tolist(), strict=True)
    raw = [data[begin:end] for begin, end in places]
    kinds = set(kind.tolist())
    if kinds == {layout.PLAIN}:
        return [str(text, "utf-8") for text in raw]
    if kinds and kinds <= _BODIES:
        return _loaded(b'["' + b'","'.join(raw) + b'"]')
    if kinds == {layout.JSON}:
        joined = b",".join(raw)
        if not _is_long(joined):
            return _loaded(b"[" + joined + b"]")
    return [_READ[what](bytes(text)) for text, what in zip(raw, kind.tolist(), strict=True)]


def _loaded(array: bytes) -> list[Any]:
    """The values of a column in one call."""
    values: list[Any] = orjson.loads(array)
    return values


def _body(raw: bytes) -> Any:
    return orjson.loads(b'"' + raw + b'"')


def _json(raw: bytes) -> Any:
    """As Python's json reads it: orjson makes floats of integers that have more than 64 bits."""
    return json.loads(raw) if _is_long(raw) else orjson.loads(raw)


def _is_long(raw: bytes) -> bool:
    """Whether there are so many digits in a row that a number may have more than 64 bits."""
    return _LONG in raw.translate(_DIGITS)


_LONG = b"0" * 19
_DIGITS = bytes(ord("0") if byte in b"0123456789" else 32 for byte in range(256))
_BODIES = {layout.CLEAN, layout.CANONICAL, layout.ESCAPED}
"""Kinds of texts that are the bodies of JSON strings."""
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
    column = GrowingColumn()
    column.add(list(values))
    return column.spans()


class GrowingColumn:
    """A column made of values some rows at a time."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._length: list[I64] = []
        self._kind: list[U8] = []

    def add(self, values: list[Any]) -> None:
        """The values of the next rows."""
        types = set(map(type, values))
        if types <= {Absent}:
            raw, kind = [b""] * len(values), np.full(len(values), layout.ABSENT, np.uint8)
        elif types == {str}:
            raw, kind = list(map(str.encode, values)), np.full(len(values), layout.PLAIN, np.uint8)
        elif types <= {list, dict}:
            raw, kind = list(map(spelled_json, values)), np.full(len(values), layout.JSON, np.uint8)
        else:
            spelled = [_spelled(value) for value in values]
            raw = [text for text, _ in spelled]
            kind = np.fromiter((kind for _, kind in spelled), np.uint8, len(spelled))
        self._data.append(b"".join(raw))
        self._length.append(np.fromiter(map(len, raw), np.int64, len(raw)))
        self._kind.append(kind)

    def spans(self) -> Spans:
        """All of them. For once: more cannot be added then."""
        length, kind = np.concatenate(self._length), np.concatenate(self._kind)
        if not (kind != layout.ABSENT).any():
            return empty_spans(len(kind))
        start = np.zeros(len(kind), np.int64)
        np.cumsum(length[:-1], out=start[1:])
        start[kind <= layout.NULL] = 0
        return Spans(np.frombuffer(b"".join(self._data), np.uint8), start, length, kind)


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
                json.dumps(held, ensure_ascii=False).encode()  # half a surrogate pair is not a text
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
