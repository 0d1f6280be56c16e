"""Records of a table of text, and their fields: the plain meaning of `kernels/cpu/delimited.py`.

What RFC 4180 says, and what writers do beside it: quotes escaped by a backslash, other quotes or none, blanks
after delimiters. A record whose closing quote is followed by text is malformed: it ends with its line.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from forge_gpu.kernels.layout import I64, U8

GOOD, MISCOUNTED, MALFORMED = 0, 1, 2
NONE = -1
NEWLINE, RETURN, SPACE = 10, 13, 32


class Signs(NamedTuple):
    """Bytes that mean something; NONE where there is no such. escape NONE: a quote is doubled. blanks: 1
    where those before a field are no part of it."""

    delimiter: int
    quote: int = ord('"')
    escape: int = NONE
    blanks: int = 0


class Split(NamedTuple):
    """What was found in a block of n records.

    begin, end: int64[n], of each record without its line end. width: int64[n], its fields. status: uint8[n]:
    GOOD, MISCOUNTED or MALFORMED. start, length: int64[n, columns] of the fields of good records, without
    their quotes; escaped: uint8[n, columns], 1 where quotes have to be unescaped. used: bytes that are read;
    the rest is a record that does not end in the block. is_open: whether that is inside quotes.
    """

    begin: I64
    end: I64
    width: I64
    status: U8
    start: I64
    length: I64
    escaped: U8
    used: int
    is_open: bool


def split_records(data: U8, signs: Signs, columns: int, is_last: bool, most: int = 2**62) -> Split:
    """The first `most` records of a block. columns: fields that a record has to have; 0: any number, and no
    fields are given. is_last: nothing follows the block. Empty lines are no records."""
    text, at = data.tobytes(), 0
    rows: list[tuple[int, int, int, int, list[tuple[int, int, int]]]] = []
    is_open = False
    while at < len(text) and len(rows) < most:
        if text[at] in (NEWLINE, RETURN):
            at += 1
            continue
        result = _record(text, at, signs, is_last)
        if result is None:
            is_open = _opens(text, at, signs)
            break
        end, status, fields = result
        if status == GOOD and columns and len(fields) != columns:
            status = MISCOUNTED
        rows.append((at, end, len(fields), status, fields if status == GOOD else []))
        at = end
    else:
        at = min(at, len(text))
    places = np.zeros((len(rows), columns, 3), np.int64)
    for row, (_, _, _, _, fields) in enumerate(rows):
        if fields and columns:
            places[row] = fields
    about = np.array([row[:4] for row in rows], np.int64).reshape(-1, 4)
    return Split(
        about[:, 0],
        about[:, 1],
        about[:, 2],
        about[:, 3].astype(np.uint8),
        places[:, :, 0],
        places[:, :, 1],
        places[:, :, 2].astype(np.uint8),
        at,
        is_open,
    )


def _record(
    text: bytes, begin: int, signs: Signs, is_last: bool
) -> tuple[int, int, list[tuple[int, int, int]]] | None:
    """(end, status, fields) of the record at `begin`; None where it does not end in the text."""
    fields, at = [], begin
    while True:
        field = _field(text, at, signs)
        if field is None:
            return None
        start, length, escaped, at, is_quoted = field
        fields.append((start, length, escaped))
        if at >= len(text):
            return (at, GOOD, fields) if is_last else None
        if text[at] == signs.delimiter:
            at += 1
        elif text[at] in (NEWLINE, RETURN):
            return at, GOOD, fields
        else:
            assert is_quoted
            end = _line_end(text, begin)
            return (end, MALFORMED, fields) if end < len(text) or is_last else None


def _field(text: bytes, at: int, signs: Signs) -> tuple[int, int, int, int, bool] | None:
    """(start, length, escaped, index behind it, whether it is quoted); None inside quotes at the end."""
    begin = _after_blanks(text, at, signs)
    if begin >= len(text) or text[begin] != signs.quote:
        end = begin
        while end < len(text) and text[end] not in (signs.delimiter, NEWLINE, RETURN):
            end += 1
        return begin, end - begin, 0, end, False
    end, escaped = begin + 1, 0
    while end < len(text):
        if text[end] == signs.escape or (
            text[end] == signs.quote
            and signs.escape == NONE
            and text[end + 1 : end + 2] == text[end : end + 1]
        ):
            escaped, end = 1, end + 2
        elif text[end] == signs.quote:
            return begin + 1, end - begin - 1, escaped, _after_blanks(text, end + 1, signs), True
        else:
            end += 1
    return None


def _after_blanks(text: bytes, at: int, signs: Signs) -> int:
    while signs.blanks and at < len(text) and text[at] == SPACE:
        at += 1
    return at


def _line_end(text: bytes, at: int) -> int:
    while at < len(text) and text[at] not in (NEWLINE, RETURN):
        at += 1
    return at


def _opens(text: bytes, begin: int, signs: Signs) -> bool:
    """Whether the record at `begin`, which does not end in the text, is inside quotes at its end."""
    at = begin
    while at < len(text):
        field = _field(text, at, signs)
        if field is None:
            return True
        if text[field[3] : field[3] + 1] != bytes([signs.delimiter]):
            return False
        at = field[3] + 1
    return False


def unescaped(data: U8, start: I64, length: I64, escaped: U8, signs: Signs) -> tuple[U8, I64]:
    """Fields as (bytes, int64[n + 1] offsets): quotes unescaped, and an escape sign before itself."""
    sign = bytes([signs.quote if signs.escape == NONE else signs.escape]) if signs.quote != NONE else b""
    texts = []
    for begin, size, flag in zip(start.tolist(), length.tolist(), escaped.tolist(), strict=True):
        text = data[begin : begin + size].tobytes()
        if flag:
            pieces, at = [], 0
            while at < len(text):
                follows = text[at + 1 : at + 2]
                drops = (
                    text[at : at + 1] == sign and follows in (sign, bytes([signs.quote])) and follows != b""
                )
                at += drops
                pieces.append(text[at : at + 1])
                at += 1
            text = b"".join(pieces)
        texts.append(text)
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return np.frombuffer(b"".join(texts), np.uint8), offsets
