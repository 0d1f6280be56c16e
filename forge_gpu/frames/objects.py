"""Python objects as spans: what a frame's column of type `object` holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import date, time
from decimal import Decimal
from typing import Any

import numpy as np
import orjson

from forge_gpu.errors import InputError
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Spans


def object_spans(values: Iterable[Any], is_null: Callable[[Any], Any]) -> Spans:
    """Each value as a record would have it in a JSON file.

    str and bytes are PLAIN; None, what `is_null` calls null, and floats that are no number are NULL; dates
    and times are PLAIN in ISO 8601; everything else is JSON, spelled without white space. A text with a lone
    surrogate has no UTF-8: its bytes are such that no decoder takes them. Raises InputError for a value that
    has no JSON form.
    """
    pieces: list[bytes] = []
    kinds = bytearray()
    for value in values:
        spelling, piece = _spelled(value, is_null)
        kinds.append(spelling)
        pieces.append(piece)
    length = np.fromiter(map(len, pieces), np.int64, len(pieces))
    kind = np.frombuffer(bytes(kinds), np.uint8)
    start = np.cumsum(length) - length
    start[kind == layout.NULL] = 0
    return Spans(np.frombuffer(b"".join(pieces), np.uint8), start, length, kind)


def _spelled(value: Any, is_null: Callable[[Any], Any]) -> tuple[int, bytes]:
    """(kind, bytes) of one value."""
    if isinstance(value, str):
        return layout.PLAIN, _encode(value)
    if isinstance(value, bytes):
        return layout.PLAIN, value
    if value is None:
        return layout.NULL, b""
    if isinstance(value, date | time):  # a date and time is a date too
        return (layout.NULL, b"") if is_null(value) is True else (layout.PLAIN, value.isoformat().encode())
    text = _json(value, is_null)
    if text == b"null":
        return layout.NULL, b""
    if text.startswith(b'"'):
        return layout.PLAIN, _encode(json.loads(text))
    try:
        text.decode()
    except UnicodeDecodeError:
        return layout.PLAIN, text
    return layout.JSON, text


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _json(value: Any, is_null: Callable[[Any], Any]) -> bytes:
    def inner(part: Any) -> Any:
        if isinstance(part, np.ndarray):
            return part.tolist()
        if isinstance(part, Decimal) and part.is_finite():
            return orjson.Fragment(str(part))
        if isinstance(part, date | time) and is_null(part) is not True:
            return part.isoformat()
        if isinstance(part, bytes):
            return part.decode()
        if is_null(part) is True:
            return None
        raise TypeError(f"a value of type {type(part).__name__}")

    try:
        return orjson.dumps(value, inner, orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as fault:
        return _plainly(value, fault)


def _plainly(value: Any, fault: Exception) -> bytes:
    """What orjson refuses and JSON has: integers of any size, keys that are numbers, lone surrogates."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        cause = fault.__cause__ or fault
        raise InputError(f"{cause} has no JSON form; convert it, or leave the column out") from None
    return text.encode("utf-8", "surrogatepass")
