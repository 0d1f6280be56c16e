r"""The canonical JSON string body (see reference/jsontext.py), token by token.

A text is worked on in *blocks* of about BLOCK source bytes, each by one thread. A token is what is decoded or
spelled as a whole: one byte, an escape of 2, 6 or 12 bytes, a run of line breaks and indentation. `cut` finds
the place between two tokens where a block ends, so that every block can be read without its neighbours; only
where a backslash (or white space) stands close before the place does it have to read the block from its
start. A token's output is at most 6 bytes and is carried in one word.

Bytes are read eight at a time, and those before the first that is not written as it is pass together: blocks
of neighbouring threads are BLOCK bytes apart, so a load costs a warp 32 sectors however wide it is.
"""

import numpy as np

from forge_gpu.kernels.cuda.device import function
from forge_gpu.kernels.cuda.memory import (
    ALL_BITS,
    EACH,
    HIGH_BITS,
    LAST_BIT,
    ONE,
    THREE,
    byte,
    bytes_before,
    word,
)
from forge_gpu.kernels.reference.jsontext import REPLACEMENT

# What is done with the bytes of a piece of output.
COPY, ESCAPE, UNESCAPE, RECODE, COMPACT = range(5)

BLOCK = 128
LONGEST = 12  # bytes of the longest escape, a pair of surrogates
BACKSLASH, LETTER_U = ord("\\"), ord("u")
NONE = np.int64(-1)

SPACES, QUOTES, BACKSLASHES = EACH * np.uint64(0x20), EACH * np.uint64(0x22), EACH * np.uint64(BACKSLASH)
LINE_FEEDS, RETURNS = EACH * np.uint64(10), EACH * np.uint64(13)


@function
def _escaped(value):
    """(bytes, their number) of one byte as the canonical body spells it."""
    letter = np.int64(0)
    if value == 0x22 or value == BACKSLASH:
        letter = value
    elif value == 8:
        letter = np.int64(0x62)
    elif value == 9:
        letter = np.int64(0x74)
    elif value == 10:
        letter = np.int64(0x6E)
    elif value == 12:
        letter = np.int64(0x66)
    elif value == 13:
        letter = np.int64(0x72)
    if letter != 0:
        return np.uint64(BACKSLASH | letter << 8), np.int64(2)
    if value >= 0x20:
        return np.uint64(value), np.int64(1)
    low = value & 15
    digit = low + 48 if low < 10 else low + 87
    return np.uint64(0x3030755C | (48 + (value >> 4)) << 32 | digit << 40), np.int64(6)  # \u00 and two digits


@function
def _utf8(value):
    """(bytes, their number) of one code point."""
    if value < 0x80:
        return np.uint64(value), np.int64(1)
    if value < 0x800:
        return np.uint64(0xC0 | value >> 6 | (0x80 | value & 63) << 8), np.int64(2)
    if value < 0x10000:
        return (
            np.uint64(0xE0 | value >> 12 | (0x80 | value >> 6 & 63) << 8 | (0x80 | value & 63) << 16),
            np.int64(3),
        )
    return (
        np.uint64(
            0xF0
            | value >> 18
            | (0x80 | value >> 12 & 63) << 8
            | (0x80 | value >> 6 & 63) << 16
            | (0x80 | value & 63) << 24
        ),
        np.int64(4),
    )


@function
def _hex_digit(value):
    if value >= 48 and value <= 57:
        return value - 48
    low = value | 32
    return low - 87 if low >= 97 and low <= 102 else NONE


@function
def _unit(memory, i, end):
    """Value of the four hex digits at i; -1 where they are none."""
    if i + 4 > end:
        return NONE
    unit = np.int64(0)
    for k in range(4):
        digit = _hex_digit(byte(memory, i + k))
        if digit < 0:
            return NONE
        unit = unit << 4 | digit
    return unit


@function
def _short(letter):
    """What a short escape means; -1 where the letter has none."""
    if letter == 0x22 or letter == BACKSLASH or letter == 0x2F:
        return letter
    if letter == 0x62:
        return np.int64(8)
    if letter == 0x66:
        return np.int64(12)
    if letter == 0x6E:
        return np.int64(10)
    if letter == 0x72:
        return np.int64(13)
    return np.int64(9) if letter == 0x74 else NONE


@function
def escape_at(memory, i, end):
    """(code point, length in bytes) of the escape at i; (-1, 1) where the backslash starts none."""
    if i + 2 > end:
        return NONE, np.int64(1)
    letter = byte(memory, i + 1)
    if letter != LETTER_U:
        value = _short(letter)
        return value, np.int64(1 if value < 0 else 2)
    high = _unit(memory, i + 2, end)
    if high < 0:
        return NONE, np.int64(1)
    if high < 0xD800 or high >= 0xE000:
        return high, np.int64(6)
    paired = high < 0xDC00 and i + LONGEST <= end
    if paired and byte(memory, i + 6) == BACKSLASH and byte(memory, i + 7) == LETTER_U:
        low = _unit(memory, i + 8, end)
        if low >= 0xDC00 and low < 0xE000:
            return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00), np.int64(LONGEST)
    return np.int64(REPLACEMENT), np.int64(6)


@function
def _is_space(value):
    return value == 32 or value == 9 or value == 10 or value == 13


@function
def token(work, memory, i, end):
    """(output bytes, their number, source bytes) of the token at i; `end`: of the value or the block."""
    value = byte(memory, i)
    if work == ESCAPE:
        bits, count = _escaped(value)
        return bits, count, np.int64(1)
    if work == COMPACT:
        if value != 10 and value != 13:
            return np.uint64(value), np.int64(1), np.int64(1)
        j = i + 1
        while j < end and _is_space(byte(memory, j)):
            j += 1
        return np.uint64(0), np.int64(0), j - i
    if value != BACKSLASH:
        return np.uint64(value), np.int64(1), np.int64(1)
    code, size = escape_at(memory, i, end)
    if code < 0:
        return np.uint64(BACKSLASH), np.int64(1), np.int64(1)
    if work == RECODE and code < 0x80:
        bits, count = _escaped(code)
        return bits, count, size
    bits, count = _utf8(code)
    return bits, count, size


@function
def cut(work, memory, start, required, end):
    """(where the block that starts at `start` ends, where the next starts), at `wanted` or behind.

    The two differ where a run that writes nothing lies over required: it belongs to no block.
    """
    if required <= start:
        return start, start
    if work == ESCAPE or required == end:
        return required, required
    clear = True
    if work == COMPACT:
        clear = not _is_space(byte(memory, required - 1))
    else:
        for i in range(max(start, required - (LONGEST - 1)), required):
            if byte(memory, i) == BACKSLASH:
                clear = False
    if clear:
        return required, required
    i = start
    while i < required:
        _, count, size = token(work, memory, i, end)
        if i + size > required and count == 0:
            return i, i + size
        i += size
    return i, i


@function
def _equal(bits, eight):
    """The high bit of each byte of `bits` that is one of `eight` equal ones. Exact up to the lowest that is
    set: behind that a byte's borrow may set others."""
    other = bits ^ eight
    return (other - EACH) & ~other & HIGH_BITS


@function
def _as_it_is(work, words, i, end):
    """(the bytes at i, zeros behind them, how many they are): those that are written as they are, up to the
    first that is not, to `end`, or eight."""
    bits = word(words, i)
    if work == ESCAPE:
        marks = _equal(bits, QUOTES) | _equal(bits, BACKSLASHES) | (bits - SPACES) & ~bits & HIGH_BITS
    elif work == COMPACT:
        marks = _equal(bits, LINE_FEEDS) | _equal(bits, RETURNS)
    else:
        marks = _equal(bits, BACKSLASHES)
    count = min(bytes_before(marks), end - i)
    if count < 8:
        bits &= ~(ALL_BITS << (np.uint64(count) << THREE))
    return bits, count


@function
def measure(work, memory, words, start, count):
    """(bytes that the block of `count` bytes becomes, whether they are the block's own bytes)."""
    end = start + count
    total = np.int64(0)
    same = True
    i = start
    while i < end:
        _, passed = _as_it_is(work, words, i, end)
        i += passed
        total += passed
        if passed < 8 and i < end:
            _, made, size = token(work, memory, i, end)
            same = same and made == size and size < 6  # \u001F keeps its size, not its spelling
            total += made
            i += size
    return total, same


@function
def write(work, memory, words, start, count, target, target_words, at):
    """The output of a block to target[at:], by one thread: aligned words, but for the ends."""
    end = start + count
    begin = at
    held = np.uint64(0)
    i = start
    while i < end:
        bits, passed = _as_it_is(work, words, i, end)
        i += passed
        at, held = _append(target, target_words, begin, at, held, bits, passed)
        if passed < 8 and i < end:
            bits, made, size = token(work, memory, i, end)
            i += size
            at, held = _append(target, target_words, begin, at, held, bits, made)
    _put(target, max(begin, at & ~7), at, held)


@function
def _append(target, target_words, begin, at, held, bits, count):
    """(at, held) after `count` more bytes, at most eight: what fills an aligned word is written, what lies
    behind it is held. `bits` are zero behind these bytes."""
    shift = np.uint64(at & 7) << THREE
    held |= bits << shift
    following = at + count
    if following >> 3 != at >> 3:
        if at & ~7 >= begin:
            target_words[np.uint64(at >> 3)] = held
        else:
            _put(target, begin, (at | 7) + 1, held)
        held = bits >> ONE >> (LAST_BIT - shift)
    return following, held


@function
def _put(target, begin, end, held):
    """Bytes begin ... end-1 of one aligned word, whose value is `held`."""
    for k in range(begin, end):
        target[np.uint64(k)] = np.uint8(held >> (np.uint64(k & 7) << THREE) & np.uint64(255))
