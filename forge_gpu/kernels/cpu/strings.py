"""Strings of JSON: where they end, and what their escapes stand for.

Where a function returns an index it is negative on a fault: minus the `fates.Reason`. `high` is not 0
where a byte may not be ASCII: then the record's UTF-8 has to be checked. `marks` are those below.
"""

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.masks import stop_masks, string_masks
from forge_gpu.kernels.cpu.memory import BLOCK, byte, trailing_zeros
from forge_gpu.kernels.layout import CANONICAL, CLEAN, ESCAPED

HAS_ESCAPE = 1
HAS_FOREIGN = 2  # an escape that the canonical form spells otherwise: a \/ or a \u
LONE_SURROGATE = 4
INVALID = -int(Reason.INVALID_JSON)

# What a kernel passes to a kernel is np.int64, not a literal: numba compiles a kernel anew for each literal.
NONE, ONE, TWO = np.int64(0), np.int64(1), np.int64(2)

QUOTE, BACKSLASH, SLASH, LETTER_U = (ord(c) for c in '"\\/u')
ODD_BITS = np.int64(-0x5555555555555556)  # bits 1, 3, 5 ... of a mask
LAST_BIT = np.int64(-0x8000000000000000)

ESCAPE_OF = np.zeros(256, np.uint8)  # what the letter after a backslash stands for; 0 where it may not be
for _letter, _meaning in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    ESCAPE_OF[_letter] = _meaning
HEX_OF = np.full(256, -1, np.int8)
for _digit in b"0123456789abcdefABCDEF":
    HEX_OF[_digit] = int(chr(_digit), 16)


@inner
def _unit(buffer, p):
    """The UTF-16 unit of the four hexadecimal digits at p, or -1."""
    if p + 4 > buffer[1]:
        return -1
    unit = np.int64(HEX_OF[byte(buffer, p)]) << 12 | np.int64(HEX_OF[byte(buffer, p + 1)]) << 8
    unit |= np.int64(HEX_OF[byte(buffer, p + 2)]) << 4 | np.int64(HEX_OF[byte(buffer, p + 3)])
    return max(unit, np.int64(-1))  # -1, shifted, keeps the sign of the whole


@inner
def escape(buffer, p):
    """(index after the escape whose backslash is at p, its code point); a lone surrogate is its own."""
    if p + 1 >= buffer[1]:
        return INVALID, 0
    c = byte(buffer, p + 1)
    if c != LETTER_U:
        meaning = np.int64(ESCAPE_OF[c])
        return (p + 2, meaning) if meaning != 0 else (INVALID, 0)
    unit = _unit(buffer, p + 2)
    if unit < 0:
        return INVALID, 0
    p += 6
    is_first = 0xD800 <= unit < 0xDC00 and p + 2 <= buffer[1]
    if is_first and byte(buffer, p) == BACKSLASH and byte(buffer, p + 1) == LETTER_U:
        low = _unit(buffer, p + 2)
        if 0xDC00 <= low < 0xE000:
            return p + 6, 0x10000 + ((unit - 0xD800) << 10) + low - 0xDC00
    return p, unit


@inner
def _stops_passed(buffer, p, stops):
    """(next p, index of the closing quote or a fault or 0, marks): the block at p, stop by stop.

    stops: the mask of its quotes, backslashes and control characters.
    """
    marks = 0
    begin = p
    while stops != 0:
        stop = begin + trailing_zeros(stops)
        c = byte(buffer, stop)
        if c == QUOTE:
            return p, stop, marks
        if c != BACKSLASH:
            return p, np.int64(INVALID), marks
        p, code = escape(buffer, stop)
        if p < 0:
            return p, np.int64(INVALID), marks
        marks |= HAS_ESCAPE
        if p - stop > 2 or code == SLASH:
            marks |= HAS_FOREIGN
        if 0xD800 <= code < 0xE000:
            marks |= LONE_SURROGATE
        if p - begin >= BLOCK:
            return p, NONE, marks
        stops &= -1 << (p - begin)
    return begin + BLOCK, NONE, marks


@inner
def _are_foreign(buffer, p, letters):
    r"""Whether the bytes p + k, for each bit k of a mask, make a \/ or a \u of no surrogate."""
    while letters != 0:
        at = p + trailing_zeros(letters)
        c = byte(buffer, at)
        if c != SLASH:
            unit = _unit(buffer, at + 1)
            if c != LETTER_U or unit < 0 or 0xD800 <= unit < 0xE000:
                return False
        letters &= letters - 1
    return True


@inner
def _blocks_passed(buffer, p):
    r"""(next p, index of the closing quote or 0, high, marks), whole block by whole block from p.

    Stops before a block with a surrogate, a fault or an escape that its end cuts, and before the last bytes
    of the buffer that are no block.

    No branch on the escapes of a block: which bytes a backslash escapes is found for all of them by one
    subtraction that carries through runs of backslashes (Langdale, Lemire: Parsing gigabytes of JSON per
    second, VLDB Journal 28, 2019; in simdjson's later form). So where the next block begins is no result of
    arithmetic on this one, and the processor reads ahead.
    """
    high = 0
    seen = 0
    marks = 0
    end = NONE
    while p + BLOCK <= buffer[1]:
        quotes, backslashes, control, letters, not_ascii = string_masks(buffer, p)
        runs = ((backslashes << 1 | ODD_BITS) - backslashes) ^ ODD_BITS
        escaped = runs ^ backslashes
        ends = quotes & ~escaped
        inside = ends ^ (ends - 1)  # up to the first end, or all of it
        if (control | runs & backslashes & LAST_BIT) & inside != 0:
            break
        foreign = escaped & ~(letters | quotes | backslashes) & inside
        if foreign != 0:
            if not _are_foreign(buffer, p, foreign):
                break
            marks = HAS_FOREIGN
        high |= not_ascii & inside
        seen |= backslashes & inside
        if ends != 0:
            end = p + trailing_zeros(ends)
            break
        p += BLOCK
    if seen != 0:
        marks |= HAS_ESCAPE
    return p, end, high, marks


@inner
def string_end(buffer, p):
    r"""(index of the closing quote, high, marks) of the string whose body begins at p.

    What `_blocks_passed` leaves is read stop by stop. Bytes moved: the string, read once.
    """
    high = 0
    marks = 0
    while p < buffer[1]:
        p, end, more_high, more = _blocks_passed(buffer, p)
        high |= more_high
        marks |= more
        if end == 0 and p < buffer[1]:
            stops, not_ascii = stop_masks(buffer, p)
            high |= not_ascii
            p, end, more = _stops_passed(buffer, p, stops)
            marks |= more
        if end != 0:
            return end, high, marks
    return INVALID, high, marks


@inner
def body_kind(marks):
    """The kind of a string's body, by its marks."""
    if marks & HAS_FOREIGN:
        return np.int64(ESCAPED)
    return np.int64(CANONICAL if marks & HAS_ESCAPE else CLEAN)
