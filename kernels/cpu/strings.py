"""Strings of JSON: where they end, and what their escapes stand for.

Where a function returns an index it is negative on a fault: minus the `fates.Reason`. `high` is not 0
where a byte may not be ASCII: then the record's UTF-8 has to be checked. `marks` are HAS_ESCAPE and
LONE_SURROGATE.
"""

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.masks import string_masks
from forge_gpu.kernels.cpu.memory import BLOCK, byte, trailing_zeros

HAS_ESCAPE = 1
LONE_SURROGATE = 2
INVALID = -int(Reason.INVALID_JSON)

# What a kernel passes to a kernel is np.int64, not a literal: numba compiles a kernel anew for each literal.
NONE, ONE, TWO = np.int64(0), np.int64(1), np.int64(2)

QUOTE, BACKSLASH, LETTER_U = (ord(c) for c in '"\\u')

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
    unit = 0
    for k in range(4):
        digit = HEX_OF[byte(buffer, p + k)]
        if digit < 0:
            return -1
        unit = unit << 4 | digit
    return unit


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
def string_end(buffer, p):
    """(index of the closing quote, high, marks) of the string whose body begins at p."""
    high = 0
    marks = 0
    while p < buffer[1]:
        stops, not_ascii = string_masks(buffer, p)
        high |= not_ascii
        while stops != 0:
            stop = p + trailing_zeros(stops)
            c = byte(buffer, stop)
            if c == QUOTE:
                return stop, high, marks
            if c != BACKSLASH:
                return INVALID, high, marks
            marks |= HAS_ESCAPE
            after = stop + 2
            if after > buffer[1] or ESCAPE_OF[byte(buffer, stop + 1)] == 0:  # not the common two bytes
                after, code = escape(buffer, stop)
                if after < 0:
                    return INVALID, high, marks
                if 0xD800 <= code < 0xE000:
                    marks |= LONE_SURROGATE
            if after - p >= BLOCK:
                p = after
                break
            stops &= -1 << (after - p)
        else:
            p += BLOCK
    return INVALID, high, marks
