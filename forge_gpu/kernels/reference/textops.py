r"""What chat templates do to texts, on spans: the plain meaning of `kernels/cpu/textops.py`.

A text that is cut stays a span of the same buffer in the same spelling, so an escaped JSON body is never
decoded: `\n` at its end is one white space of two bytes. White space is what Python's str.strip knows, 29
code points. Texts and separators are code points, never bytes. Every function looks at the values `at`:
int64[k], and returns k results; NULL and ABSENT stay what they are, and as texts they are empty.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import CANONICAL, ESCAPED, I64, NULL, Spans
from forge_gpu.kernels.reference.jsontext import escape_at

Bools = npt.NDArray[np.bool_]
Unit = tuple[str, int, int]
"""(character, start, end) in the buffer."""

WHITE_SPACE = "".join(
    map(chr, [*range(9, 14), *range(28, 33), 133, 160, 5760, *range(8192, 8203), 8232, 8233])
)
WHITE_SPACE += "\u202f\u205f\u3000"


def units(column: Spans, i: int) -> list[Unit]:
    """The characters of value `i`, each with where it is spelled."""
    start = int(column.start[i])
    raw = column.raw(i)
    result = []
    at = 0
    while at < len(raw):
        size, code = 1, raw[at]
        if code == 0x5C and column.kind[i] in (CANONICAL, ESCAPED):
            code, size = escape_at(raw, at)
            code = 0x5C if code < 0 else code
        elif code >= 0x80:
            size = 2 if code < 0xE0 else 3 if code < 0xF0 else 4
            code = ord(raw[at : at + size].decode())
        result.append((chr(code), start + at, start + at + size))
        at += size
    return result


def text(column: Spans, i: int) -> str:
    return "".join(unit[0] for unit in units(column, i))


def strip(column: Spans, at: I64 | None, left: bool, right: bool, characters: str | None = None) -> Spans:
    """text.strip, lstrip or rstrip; without `characters`, of white space. at: None for every value."""
    unwanted = WHITE_SPACE if characters is None else characters

    def bounds(result: list[Unit]) -> tuple[int, int]:
        first, last = 0, len(result)
        while left and first < last and result[first][0] in unwanted:
            first += 1
        while right and last > first and result[last - 1][0] in unwanted:
            last -= 1
        return first, last

    return _cut(column, np.arange(len(column)) if at is None else at, bounds)


def cut(column: Spans, at: I64, start: int | None, stop: int | None) -> Spans:
    """text[start:stop]"""
    return _cut(column, at, lambda result: slice(start, stop).indices(len(result))[:2])


def piece(column: Spans, at: I64, separator: str, limit: int, index: int) -> Spans:
    """text.split(separator, limit)[index], an empty text where there is no such piece."""

    def bounds(result: list[Unit]) -> tuple[int, int]:
        pieces, begin = [], 0
        whole = "".join(unit[0] for unit in result)
        for part in whole.split(separator, limit):
            pieces.append((begin, begin + len(part)))
            begin += len(part) + len(separator)
        return pieces[index] if -len(pieces) <= index < len(pieces) else (0, 0)

    return _cut(column, at, bounds)


def remove_affix(column: Spans, at: I64, affix: str, at_end: bool) -> Spans:
    """text.removeprefix(affix), or removesuffix."""

    def bounds(result: list[Unit]) -> tuple[int, int]:
        whole = "".join(unit[0] for unit in result)
        if at_end:
            return 0, len(whole.removesuffix(affix))
        return len(whole) - len(whole.removeprefix(affix)), len(whole)

    return _cut(column, at, bounds)


def _cut(column: Spans, at: I64, bounds) -> Spans:  # type: ignore[no-untyped-def]
    start, length = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    for k, i in enumerate(at.tolist()):
        result = units(column, i)
        first, last = bounds(result)
        if column.kind[i] > NULL:
            start[k] = result[first][1] if first < len(result) else column.start[i] + column.length[i]
            length[k] = result[last - 1][2] - start[k] if last > first else 0
    return Spans(column.data, start, length, column.kind[at])


def starts_with(column: Spans, at: I64, prefix: str) -> Bools:
    return np.array([text(column, i).startswith(prefix) for i in at.tolist()], np.bool_)


def ends_with(column: Spans, at: I64, suffix: str) -> Bools:
    return np.array([text(column, i).endswith(suffix) for i in at.tolist()], np.bool_)


def equals(column: Spans, at: I64, other: str) -> Bools:
    return np.array([text(column, i) == other for i in at.tolist()], np.bool_)


def counts(column: Spans, at: I64, part: str, times: int) -> Bools:
    """text.count(part) >= times; `part` is not empty."""
    return np.array([text(column, i).count(part) >= times for i in at.tolist()], np.bool_)


def characters(column: Spans, at: I64) -> I64:
    """len(text), in code points: int64[k]."""
    return np.array([len(units(column, i)) for i in at.tolist()], np.int64)


def at_least(column: Spans, at: I64, length: int) -> Bools:
    """len(text) >= length, in code points."""
    return np.array([len(units(column, i)) >= length for i in at.tolist()], np.bool_)
