r"""The canonical JSON string body, and what the bytes of a span mean.

Canonical form: `"` and `\` as \" and \\, \b \f \n \r \t so, every other byte below 0x20 as \u00xx in
lower-case hex, all else as it is, DEL and U+2028 included: what json.dumps(ensure_ascii=False) writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Spans, Text
from forge_gpu.kernels.scratch import Scratch

SHORT_ESCAPES = {0x22: b'"', 0x5C: b"\\", 8: b"b", 12: b"f", 10: b"n", 13: b"r", 9: b"t"}
"""Byte -> the letter of its two-byte escape."""

REPLACEMENT = 0xFFFD
_MEANINGS = {letter[0]: value for value, letter in SHORT_ESCAPES.items()} | {ord("/"): ord("/")}
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_LINE_BREAK = re.compile(rb"[\n\r][\n\r \t]*")


def escape(plain: bytes) -> bytes:
    """UTF-8 text -> canonical body. Bytes that are no UTF-8 go through as they are."""
    return b"".join(_escaped(value) for value in plain)


def _escaped(value: int) -> bytes:
    if value in SHORT_ESCAPES:
        return b"\\" + SHORT_ESCAPES[value]
    return bytes([value]) if value >= 0x20 else b"\\u%04x" % value


def escape_at(body: bytes, i: int) -> tuple[int, int]:
    r"""(code point, length in bytes) of the escape at `i`; (-1, 1) where the backslash starts none.

    A lone surrogate is U+FFFD. Scanners refuse both, so what a span may hold has neither.
    """
    if i + 2 > len(body):
        return -1, 1
    if body[i + 1] != ord("u"):
        value = _MEANINGS.get(body[i + 1], -1)
        return value, 1 if value < 0 else 2
    high = _unit(body, i + 2)
    if high < 0:
        return -1, 1
    if not 0xD800 <= high < 0xE000:
        return high, 6
    if high < 0xDC00 and body[i + 6 : i + 8] == b"\\u":
        low = _unit(body, i + 8)
        if 0xDC00 <= low < 0xE000:
            return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00), 12
    return REPLACEMENT, 6


def _unit(body: bytes, i: int) -> int:
    digits = body[i : i + 4]
    return int(digits, 16) if _HEX.fullmatch(digits) else -1


def unescape(body: bytes) -> bytes:
    """JSON string body -> UTF-8; never longer. A backslash that starts no escape stays."""
    out = bytearray()
    i = 0
    while i < len(body):
        value, size = escape_at(body, i) if body[i] == ord("\\") else (-1, 1)
        out += bytes([body[i]]) if value < 0 else chr(value).encode()
        i += size
    return bytes(out)


def recode(body: bytes) -> bytes:
    """JSON string body -> canonical body; never longer. A backslash that starts no escape stays."""
    out = bytearray()
    i = 0
    while i < len(body):
        value, size = escape_at(body, i) if body[i] == ord("\\") else (-1, 1)
        if value < 0:
            out.append(body[i])
        else:
            out += _escaped(value) if value < 0x80 else chr(value).encode()
        i += size
    return bytes(out)


def compact(value: bytes) -> bytes:
    """A JSON value without its line breaks and the indentation after them; other spacing is kept.

    A valid value has line breaks only between tokens: within strings they are escaped.
    """
    return _LINE_BREAK.sub(b"", value)


def decode(column: Spans, scratch: Scratch) -> Text:
    """The UTF-8 of each value: CANONICAL and ESCAPED unescaped, JSON its text, NULL and ABSENT empty.

    Raises ValueError where a span lies outside its buffer or has no known kind.
    """
    return text_of([plain(column, i) for i in range(len(column))])


def plain(column: Spans, i: int) -> bytes:
    """The UTF-8 of value `i`."""
    check_span(column, i)
    kind = int(column.kind[i])
    if kind in (layout.ABSENT, layout.NULL):
        return b""
    return unescape(column.raw(i)) if kind in (layout.CANONICAL, layout.ESCAPED) else column.raw(i)


def check_span(column: Spans, i: int) -> None:
    """Raise ValueError where value `i` cannot be read."""
    start, length = int(column.start[i]), int(column.length[i])
    if start < 0 or length < 0 or start + length > column.size or column.kind[i] > layout.JSON:
        raise ValueError(f"value {i} of a column lies outside its buffer or has an unknown kind")


def text_of(values: Sequence[bytes]) -> Text:
    """Values as a Text."""
    offsets = np.zeros(len(values) + 1, np.int64)
    offsets[1:] = np.cumsum([len(value) for value in values])
    data = np.frombuffer(b"".join(values) + bytes(layout.PADDING), np.uint8).copy()
    return Text(data, offsets)
