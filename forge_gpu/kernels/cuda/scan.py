"""Records of a chunk of JSON lines, on the device (see reference/scan.py): those that are plainly good.

Newlines are found by a thread each 64 bytes, eight bytes at once, and put together by a sum over counts. Then
a thread walks a line from left to right: strings eight bytes at once up to the next quote, backslash, control
or byte beyond ASCII, all else byte by byte, with the grammar of RFC 8259 and UTF-8 checked to the last byte.
What it does not fully understand it hands over: a line with a fault of any kind, one that is too long, nested
more than DEEPEST deep or with an escape in a key. So nothing is refused here, and no reason is given.

The structure of a line is never stored: of a record come its place and those of the values asked for.
Bytes moved: the chunk twice, 16 for every 64 of it, and 34 a line and value. Expected: a thread waits for its
loads; so a chunk of 64 MiB, whose lines of 1 kB are 16 warps for each SM of an H200, takes about a tenth of
the time in which its bytes arrive; one line of 1 MB takes about 3 ms.

Source of the masks: Hacker's Delight, 2nd ed., 6-1 (zero bytes of a word); of the grammar:
`kernels/cpu/grammar.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda

from forge_gpu.kernels.cuda.device import Device, function, kernel, offsets_of, scalar
from forge_gpu.kernels.cuda.memory import byte, bytes_before, thread, word
from forge_gpu.kernels.layout import CANONICAL, CLEAN, ESCAPED, JSON, NULL

BLOCK = 64
"""Bytes in which a thread looks for newlines."""
DEEPEST = 60
"""Brackets inside a record that a walk remembers, a bit each."""

BLANK_LINE, GOOD, HANDED = 0, 1, 2
"""What a walk finds of a line; HANDED: the host is to scan it."""

HAS_ESCAPE, HAS_FOREIGN = 1, 2
ESCAPES = np.uint64(sum(1 << (ord(c) - 64) for c in "\\bfnrt"))  # letters, all above 63; a bit each
LOW, HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
SEVENS, QUOTES = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x2222222222222222)
BACKSLASHES, SPACES = np.uint64(0x5C5C5C5C5C5C5C5C), np.uint64(0x2020202020202020)
NEWLINES, ONE = np.uint64(0x0A0A0A0A0A0A0A0A), np.uint64(1)


@function
def _newlines(words, at, count):
    """The highest bit of each of the first `count` bytes from `at` on that is a newline, exactly."""
    x = word(words, at) ^ NEWLINES
    result = ~(((x & SEVENS) + SEVENS) | x | SEVENS)
    if count < 8:
        result &= (ONE << np.uint64(8 * count)) - ONE
    return result


@kernel
def count_lines(words, base, size, counts):
    """counts[t] = newlines in bytes 64 t ... 64 t + 63 of the `size` bytes from `base` on.

    counts: int64[blocks].
    """
    t = thread()
    if t >= len(counts):
        return
    total = np.int64(0)
    for at in range(BLOCK * t, min(BLOCK * (t + 1), size), 8):
        total += np.int64(cuda.popc(_newlines(words, base + at, size - at)))
    counts[t] = total


@kernel
def place_lines(words, base, size, first, ends):
    """ends[first[t] ...] = where the newlines of those bytes are, counted from `base`.

    first: int64[blocks + 1]; ends: int64[lines].
    """
    t = thread()
    if t >= len(first) - 1:
        return
    i = first[t]
    for at in range(BLOCK * t, min(BLOCK * (t + 1), size), 8):
        newlines = _newlines(words, base + at, size - at)
        while newlines != 0:
            ends[i] = at + bytes_before(newlines)
            newlines &= newlines - ONE
            i += 1


@function
def _after_blank(memory, p, end):
    while p < end:
        c = byte(memory, p)
        if c != 32 and c != 9 and c != 13:
            break
        p += 1
    return p


@function
def _unit(memory, p, end):
    """The UTF-16 unit of the four hexadecimal digits at p, or -1."""
    if p + 4 > end:
        return np.int64(-1)
    unit = np.int64(0)
    for k in range(4):
        c = byte(memory, p + k)
        letter = c | 32
        if c >= 48 and c <= 57:
            unit = unit << 4 | (c - 48)
        elif letter >= 97 and letter <= 102:
            unit = unit << 4 | (letter - 87)
        else:
            return np.int64(-1)
    return unit


@function
def _character_end(memory, p, end):
    """Index after the UTF-8 character whose first byte, above 0x7F, is at p; -1 where it is none (Unicode 15,
    table 3-7)."""
    lead = byte(memory, p)
    if lead < 0xC2 or lead > 0xF4 or p + 1 >= end:
        return np.int64(-1)
    second = byte(memory, p + 1)
    least, most = np.int64(0x80), np.int64(0xBF)
    if lead == 0xE0:
        least = np.int64(0xA0)
    elif lead == 0xF0:
        least = np.int64(0x90)
    elif lead == 0xED:
        most = np.int64(0x9F)
    elif lead == 0xF4:
        most = np.int64(0x8F)
    if second < least or second > most:
        return np.int64(-1)
    p += 2
    more = np.int64(0) + (lead >= 0xE0) + (lead >= 0xF0)
    while more > 0:
        if p >= end or byte(memory, p) & 0xC0 != 0x80:
            return np.int64(-1)
        p += 1
        more -= 1
    return p


@function
def _string_end(memory, words, p, end):
    """(index of the quote that ends the string whose body begins at p, or -1; marks)."""
    marks = np.int64(0)
    while p < end:
        w = word(words, p)
        quotes, slashes = w ^ QUOTES, w ^ BACKSLASHES
        # Of each mask the lowest bit is exact, and no other is looked at.
        stops = ((quotes - LOW) & ~quotes | (slashes - LOW) & ~slashes | (w - SPACES) & ~w | w) & HIGH
        if stops == 0:
            p += 8
            continue
        p += bytes_before(stops)
        if p >= end:
            break
        c = byte(memory, p)
        if c == 34:
            return p, marks
        if c >= 0x80:
            p = _character_end(memory, p, end)
            if p < 0:
                break
        elif c != 92 or p + 1 >= end:
            break
        else:
            c = byte(memory, p + 1)
            marks |= HAS_ESCAPE
            if c == 117:
                marks |= HAS_FOREIGN
                unit = _unit(memory, p + 2, end)
                p += 6
                if unit < 0 or (unit >= 0xDC00 and unit < 0xE000):
                    break
                if unit >= 0xD800 and unit < 0xDC00:
                    if p + 6 > end or byte(memory, p) != 92 or byte(memory, p + 1) != 117:
                        break
                    unit = _unit(memory, p + 2, end)
                    if unit < 0xDC00 or unit >= 0xE000:
                        break
                    p += 6
            else:
                if c == 47:
                    marks |= HAS_FOREIGN
                elif c != 34 and (c < 64 or c >= 128 or ESCAPES >> np.uint64(c - 64) & ONE == 0):
                    break
                p += 2
    return np.int64(-1), marks


@function
def _digits_end(memory, p, end):
    while p < end and byte(memory, p) >= 48 and byte(memory, p) <= 57:
        p += 1
    return p


@function
def _is_word(memory, p, end, letters, count):
    """Whether the bytes at p are `count` letters, the first one lowest in a number."""
    if p + count > end:
        return False
    for k in range(count):
        if byte(memory, p + k) != letters >> (8 * k) & 255:
            return False
    return True


@function
def _scalar_end(memory, p, end):
    """Index after the number, true, false or null at p, or -1."""
    c = byte(memory, p)
    if c == 110:
        return p + 4 if _is_word(memory, p, end, np.int64(0x6C6C756E), 4) else np.int64(-1)
    if c == 116:
        return p + 4 if _is_word(memory, p, end, np.int64(0x65757274), 4) else np.int64(-1)
    if c == 102:
        return p + 5 if _is_word(memory, p, end, np.int64(0x65736C6166), 5) else np.int64(-1)
    if c == 45:
        p += 1
    after = _digits_end(memory, p, end)
    if after == p or (after > p + 1 and byte(memory, p) == 48):
        return np.int64(-1)
    p = after
    if p < end and byte(memory, p) == 46:
        after = _digits_end(memory, p + 1, end)
        if after == p + 1:
            return np.int64(-1)
        p = after
    if p < end and byte(memory, p) | 32 == 101:
        p += 1
        if p < end and (byte(memory, p) == 43 or byte(memory, p) == 45):
            p += 1
        after = _digits_end(memory, p, end)
        if after == p:
            return np.int64(-1)
        p = after
    return p


@function
def _colon_end(memory, p, end):
    """Index of what follows the colon of a key whose closing quote is just before p, or -1."""
    p = _after_blank(memory, p, end)
    if p >= end or byte(memory, p) != 58:
        return np.int64(-1)
    return _after_blank(memory, p + 1, end)


@function
def _value_end(memory, words, p, end):
    """Index after the value at p, no string, wholly checked, or -1."""
    depth, objects = np.int64(0), np.uint64(0)  # a bit for each open bracket, the innermost lowest
    while p < end:
        c = byte(memory, p)
        is_open = c == 123 or c == 91
        if is_open:
            if depth == DEEPEST:
                break
            depth += 1
            objects = objects << ONE | np.uint64(c == 123)
            p = _after_blank(memory, p + 1, end)
            is_open = p >= end or byte(memory, p) != c + 2  # else it is empty and closes below
        elif c == 34:
            p, _ = _string_end(memory, words, p + 1, end)
            if p < 0:
                break
            p += 1
        else:
            p = _scalar_end(memory, p, end)
            if p < 0:
                break
        while not is_open and depth > 0:
            p = _after_blank(memory, p, end)
            c = byte(memory, p) if p < end else np.int64(0)
            if c == 44:
                p = _after_blank(memory, p + 1, end)
                break
            if c != (125 if objects & ONE != 0 else 93):
                return np.int64(-1)
            objects >>= ONE
            depth -= 1
            p += 1
        if depth == 0:
            return p
        if objects & ONE != 0:
            if p >= end or byte(memory, p) != 34:
                break
            p, _ = _string_end(memory, words, p + 1, end)
            if p < 0:
                break
            p = _colon_end(memory, p + 1, end)
            if p < 0:
                break
    return np.int64(-1)


@function
def _name_of(memory, p, size, names, bounds):
    """The number of the name whose bytes are those at p, or -1."""
    for k in range(len(bounds) - 1):
        if bounds[k + 1] - bounds[k] == size:
            same = True
            for j in range(size):
                if byte(memory, p + j) != np.int64(names[bounds[k] + j]):
                    same = False
                    break
            if same:
                return np.int64(k)
    return np.int64(-1)


@function
def _record_end(memory, words, base, p, end, names, bounds, line, start, length, kind):
    """Index after the object whose opening bracket is just before p, or -1; its values are noted."""
    p = _after_blank(memory, p, end)
    if p < end and byte(memory, p) == 125:
        return p + 1
    while p < end and byte(memory, p) == 34:
        quote, marks = _string_end(memory, words, p + 1, end)
        if quote < 0 or marks != 0:
            break
        k = _name_of(memory, p + 1, quote - p - 1, names, bounds)
        p = _colon_end(memory, quote + 1, end)
        if p < 0 or p >= end:
            break
        c = byte(memory, p)
        if c == 34:
            begin = p + 1
            p, marks = _string_end(memory, words, begin, end)
            after = p + 1
            what = np.int64(CLEAN)
            if marks != 0:
                what = np.int64(ESCAPED if marks & HAS_FOREIGN != 0 else CANONICAL)
        else:
            begin = p
            p = _value_end(memory, words, begin, end)
            after = p
            what = np.int64(NULL if c == 110 else JSON)
        if p < 0:
            break
        if k >= 0:
            start[k, line] = begin - base if what != NULL else 0
            length[k, line] = p - begin if what != NULL else 0
            kind[k, line] = what
        p = _after_blank(memory, after, end)
        if p >= end:
            break
        c = byte(memory, p)
        if c == 125:
            return p + 1
        if c != 44:
            break
        p = _after_blank(memory, p + 1, end)
    return np.int64(-1)


@kernel
def walk(memory, words, base, ends, names, bounds, most, start, length, kind):
    """The values of the names in line i, the bytes from `base` on up to ends[i]: column i of start, length
    and kind, whose last row is of the record itself, with the kind GOOD, HANDED or BLANK_LINE.

    ends: int64[lines]; start, length: int64[k + 1, lines] and kind: uint8[k + 1, lines], 0 at first (ABSENT).
    names: uint8[...], name j is names[bounds[j]:bounds[j + 1]]. most: bytes of a record.
    """
    line = thread()
    if line >= len(ends):
        return
    begin = base if line == 0 else base + ends[line - 1] + 1
    end = base + ends[line]
    begin = _after_blank(memory, begin, end)
    if begin >= end:
        return
    while byte(memory, end - 1) == 32 or byte(memory, end - 1) == 9 or byte(memory, end - 1) == 13:
        end -= 1
    record = len(bounds) - 1
    start[record, line] = begin - base
    length[record, line] = end - begin
    what = np.int64(HANDED)
    if end - begin <= most and byte(memory, begin) == 123:
        after = _record_end(memory, words, base, begin + 1, end, names, bounds, line, start, length, kind)
        if after == end:
            what = np.int64(GOOD)
    kind[record, line] = what


def scan_lines(data: Any, keys: Sequence[str], max_row_bytes: int, device: Device) -> tuple[Any, Any, Any]:
    """(start, length, kind) of the values of different keys, and in the last row of the records: int64, int64
    and uint8[k + 1, n], on the device. The kind of a record is GOOD or HANDED; of one that is handed over the
    values are ABSENT, and its place is right.

    data: uint8[size] on the device. Records are those of JSON lines, as reference/scan.py has them.
    """
    size = len(data)
    memory, words, bases = device.window([data])
    counts = device.xp.zeros(-(-size // BLOCK), np.int64)
    device.launch(count_lines, len(counts), words, bases[0], size, counts)
    first = offsets_of(device, counts)
    lines = scalar(device, first, -1)
    ends = device.xp.empty(lines + 1, np.int64)
    device.launch(place_lines, len(counts), words, bases[0], size, first, ends)
    ends[lines:] = size
    spelled = [key.encode("utf-8", "surrogatepass") for key in keys]
    bounds = np.cumsum([0, *map(len, spelled)]).astype(np.int64)
    names = device.upload(np.frombuffer(b"".join(spelled) + b"\0", np.uint8))
    shape = len(keys) + 1, lines + 1
    start, length = device.xp.zeros(shape, np.int64), device.xp.zeros(shape, np.int64)
    kind = device.xp.zeros(shape, np.uint8)
    device.launch(
        walk,
        lines + 1,
        memory,
        words,
        bases[0],
        ends,
        names,
        device.upload(bounds),
        max_row_bytes,
        start,
        length,
        kind,
    )
    records = device.xp.flatnonzero(kind[-1] != BLANK_LINE)
    start, length, kind = (device.xp.take(values, records, axis=1) for values in (start, length, kind))
    good = kind[-1] == GOOD
    for values in (start, length, kind):  # ABSENT, at 0
        values[:-1] *= good
    return start, length, kind
