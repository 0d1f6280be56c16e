"""JSON as RFC 8259 has it, read on the device from left to right (see reference/grammar.py): if plainly good.

Strings go by eight bytes at once, up to the next quote, backslash, control or byte beyond ASCII, all else
byte by byte; UTF-8 is checked to the last byte. Where a function gives an index, -1 stands for what it does
not take: a fault, half a surrogate pair, nesting beyond DEEPEST, an escape in a key. Whoever calls hands such
bytes to the host, so nothing is refused here.

Source of the masks: Hacker's Delight, 2nd ed., 6-1 (zero bytes of a word).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forge_gpu.kernels.cuda.device import Device, function
from forge_gpu.kernels.cuda.jsontext import BACKSLASHES, QUOTES, SPACES
from forge_gpu.kernels.cuda.memory import EACH, HIGH_BITS, ONE, byte, bytes_before, word
from forge_gpu.kernels.layout import CANONICAL, CLEAN, ESCAPED, JSON, NULL

DEEPEST = 60
"""Brackets inside a value that a walk remembers, a bit each."""

HAS_ESCAPE, HAS_FOREIGN = 1, 2
ESCAPES = np.uint64(sum(1 << (ord(c) - 64) for c in "\\bfnrt"))  # letters, all above 63; a bit each


@function
def after_blank(memory, p, end):
    while p < end:
        c = byte(memory, p)
        if c != 32 and c != 9 and c != 13 and c != 10:
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
def string_end(memory, words, p, end):
    """(index of the quote that ends the string whose body begins at p, or -1; marks)."""
    marks = np.int64(0)
    while p < end:
        w = word(words, p)
        quotes, slashes = w ^ QUOTES, w ^ BACKSLASHES
        # Of each mask the lowest bit is exact, and no other is looked at.
        stops = ((quotes - EACH) & ~quotes | (slashes - EACH) & ~slashes | (w - SPACES) & ~w | w) & HIGH_BITS
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
    p = after_blank(memory, p, end)
    if p >= end or byte(memory, p) != 58:
        return np.int64(-1)
    return after_blank(memory, p + 1, end)


@function
def value_end(memory, words, p, end):
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
            p = after_blank(memory, p + 1, end)
            is_open = p >= end or byte(memory, p) != c + 2  # else it is empty and closes below
        elif c == 34:
            p, _ = string_end(memory, words, p + 1, end)
            if p < 0:
                break
            p += 1
        else:
            p = _scalar_end(memory, p, end)
            if p < 0:
                break
        while not is_open and depth > 0:
            p = after_blank(memory, p, end)
            c = byte(memory, p) if p < end else np.int64(0)
            if c == 44:
                p = after_blank(memory, p + 1, end)
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
            p, _ = string_end(memory, words, p + 1, end)
            if p < 0:
                break
            p = _colon_end(memory, p + 1, end)
            if p < 0:
                break
    return np.int64(-1)


@function
def name_of(memory, p, size, names, bounds):
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
def member_end(memory, words, p, end, names, bounds):
    """(index after the member of an object whose key's opening quote is at p, or -1; the number of its name,
    or -1; start, length and kind of its value)"""
    nowhere = np.int64(-1)
    quote, marks = string_end(memory, words, p + 1, end)
    if quote < 0 or marks != 0:
        return nowhere, nowhere, nowhere, nowhere, nowhere
    k = name_of(memory, p + 1, quote - p - 1, names, bounds)
    p = _colon_end(memory, quote + 1, end)
    if p < 0 or p >= end:
        return nowhere, nowhere, nowhere, nowhere, nowhere
    c = byte(memory, p)
    if c != 34:
        after = value_end(memory, words, p, end)
        if c == 110:
            return after, k, np.int64(0), np.int64(0), np.int64(NULL)
        return after, k, p, after - p, np.int64(JSON)
    stop, marks = string_end(memory, words, p + 1, end)
    what = np.int64(CLEAN)
    if marks != 0:
        what = np.int64(ESCAPED if marks & HAS_FOREIGN != 0 else CANONICAL)
    return (stop + 1 if stop >= 0 else nowhere), k, p + 1, stop - p - 1, what


def names_there(names: Sequence[str], device: Device) -> tuple:
    """Names as `name_of` takes them: uint8[...] and int64[k + 1], where each begins there, on the device."""
    spelled = [name.encode("utf-8", "surrogatepass") for name in names]
    bounds = np.cumsum([0, *map(len, spelled)]).astype(np.int64)
    return device.upload(np.frombuffer(b"".join(spelled) + b"\0", np.uint8)), device.upload(bounds)
