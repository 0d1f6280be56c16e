r"""The canonical JSON string body (see reference/jsontext.py): inner kernels and `decode`.

The inner kernels write `target` at `at` and return where the output ends. They copy whole blocks ahead of
what they have looked at, so they write up to layout.PADDING bytes past that end, and need a target that
has them to spare; they read nothing outside the source buffer (the last block of it goes bytewise).
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import (
    BLOCK,
    byte,
    copy,
    copy_block,
    item64,
    mask_backslash,
    mask_json_special,
    mask_line_break,
    put_byte,
    put_half,
    trailing_zeros,
    whole,
)
from forge_gpu.kernels.layout import (
    AS_JSON,
    AS_TEXT,
    CANONICAL,
    CLEAN,
    ESCAPED,
    JSON,
    PADDING,
    PLAIN,
    Spans,
    Text,
)
from forge_gpu.kernels.reference.jsontext import REPLACEMENT, SHORT_ESCAPES
from forge_gpu.kernels.scratch import Scratch

BACKSLASH, SLASH, LETTER_U = ord("\\"), ord("/"), ord("u")

_LETTER = np.zeros(256, np.uint8)  # byte -> letter of its short escape, 0 where there is none
_MEANING = np.full(256, -1, np.int16)  # letter -> the byte it stands for
for _value, _letter in SHORT_ESCAPES.items():
    _LETTER[_value] = _letter[0]
    _MEANING[_letter[0]] = _value
_MEANING[SLASH] = SLASH
_HEX_VALUE = np.full(256, -1, np.int16)
for _digit in b"0123456789abcdefABCDEF":
    _HEX_VALUE[_digit] = int(chr(_digit), 16)
_HEX_DIGIT = np.frombuffer(b"0123456789abcdef", np.uint8).copy()


@inner
def put_escaped(target, at, value):
    """One byte as the canonical body spells it."""
    letter = _LETTER[value]
    if letter:
        put_byte(target, at, BACKSLASH)
        put_byte(target, at + 1, np.int64(letter))
        return at + 2
    if value >= 0x20:
        put_byte(target, at, value)
        return at + 1
    put_byte(target, at, BACKSLASH)
    put_byte(target, at + 1, LETTER_U)
    put_byte(target, at + 2, ord("0"))
    put_byte(target, at + 3, ord("0"))
    put_byte(target, at + 4, np.int64(_HEX_DIGIT[value >> 4]))
    put_byte(target, at + 5, np.int64(_HEX_DIGIT[value & 15]))
    return at + 6


@inner
def put_code_point(target, at, value):
    """One code point as UTF-8; writes four bytes from `at` on where it is not ASCII."""
    if value < 0x80:
        put_byte(target, at, value)
        return at + 1
    if value < 0x800:
        put_half(target, at, np.uint64(0x80C0 | value >> 6 | (value & 63) << 8))
        return at + 2
    if value < 0x10000:
        put_half(target, at, np.uint64(0x8080E0 | value >> 12 | (value >> 6 & 63) << 8 | (value & 63) << 16))
        return at + 3
    low = (value >> 6 & 63) << 16 | (value & 63) << 24
    put_half(target, at, np.uint64(0x808080F0 | value >> 18 | (value >> 12 & 63) << 8 | low))
    return at + 4


@inner
def _unit(source, i, end):
    """Value of the four hex digits at i; -1 where they are none."""
    if i + 4 > end:
        return np.int64(-1)
    value = np.int64(_HEX_VALUE[byte(source, i)]) << 12 | np.int64(_HEX_VALUE[byte(source, i + 1)]) << 8
    value |= np.int64(_HEX_VALUE[byte(source, i + 2)]) << 4 | np.int64(_HEX_VALUE[byte(source, i + 3)])
    return max(value, np.int64(-1))  # -1, shifted, keeps the sign of the whole


@inner
def escape_at(source, i, end):
    """(code point, length in bytes) of the escape at i; (-1, 1) where the backslash starts none."""
    if i + 2 > end:
        return np.int64(-1), np.int64(1)
    letter = byte(source, i + 1)
    if letter != LETTER_U:
        value = np.int64(_MEANING[letter])
        return value, np.int64(1 if value < 0 else 2)
    high = _unit(source, i + 2, end)
    if high < 0:
        return high, np.int64(1)
    if high < 0xD800 or high >= 0xE000:
        return high, np.int64(6)
    if (
        high < 0xDC00
        and i + 12 <= end
        and byte(source, i + 6) == BACKSLASH
        and byte(source, i + 7) == LETTER_U
    ):
        low = _unit(source, i + 8, end)
        if low >= 0xDC00 and low < 0xE000:
            return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00), np.int64(12)
    return np.int64(REPLACEMENT), np.int64(6)


# Each inner kernel copies block by block; a block without anything to change is the common case and goes
# by a branch of its own, so that the next address does not wait for a mask. The last such block may lie
# partly behind the end of the value: what it was too long is taken back after the loop.


@inner
def escape(target, at, source, start, count):
    """UTF-8 -> canonical body; `escaped_size` tells its length, at most 6 x count."""
    i = start
    end = start + count
    while i < end and i + BLOCK <= source[1]:
        copy_block(target, at, source, i)
        mask = mask_json_special(source, i)
        if mask == 0:
            at += BLOCK
            i += BLOCK
            continue
        at += trailing_zeros(mask)
        i += trailing_zeros(mask)
        if i < end:
            at = put_escaped(target, at, byte(source, i))
            i += 1
    at -= max(i - end, 0)
    while i < end:
        at = put_escaped(target, at, byte(source, i))
        i += 1
    return at


@inner
def _growth(value):
    """Bytes that the canonical spelling of a byte has beyond one."""
    if _LETTER[value]:
        return 1
    return 5 if value < 0x20 else 0


@inner
def escaped_size(source, start, count):
    """Length in bytes of what `escape` writes."""
    size = count
    i = start
    end = start + count
    while i + BLOCK <= end:
        mask = mask_json_special(source, i)
        while mask != 0:
            size += _growth(byte(source, i + trailing_zeros(mask)))
            mask &= mask - 1
        i += BLOCK
    while i < end:
        size += _growth(byte(source, i))
        i += 1
    return size


@inner
def _put_point(target, at, value, encoding):
    """A code point as UTF-8, AS_JSON canonically escaped. Returns the end of the output."""
    if encoding == AS_JSON and value < 0x80:
        return put_escaped(target, at, value)
    return put_code_point(target, at, value)


@inner
def _put_one(target, at, source, i, end, encoding):
    """The byte or escape at i. Returns (end of the output, next i)."""
    value = byte(source, i)
    size = np.int64(1)
    if value == BACKSLASH:
        value, size = escape_at(source, i, end)
    if size == 1:
        put_byte(target, at, byte(source, i))
        return at + 1, i + 1
    return _put_point(target, at, value, encoding), i + size


@inner
def _rewrite(target, at, source, start, count, encoding):
    r"""Body -> UTF-8, or AS_JSON the canonical body, where only \/ and \u change; never longer.

    A block's escapes are found at once and the bytes between them copied block by block, so that where the
    next block begins does not wait for what this one held. A stray backslash, and an escape that the block
    or the value cuts, is taken byte by byte from there.
    """
    i = start
    end = start + count
    while i < end and i + 2 * BLOCK <= source[1]:
        copy_block(target, at, source, i)
        mask = mask_backslash(source, i)
        if end - i < BLOCK:
            mask &= (1 << (end - i)) - 1
        done = np.int64(0)
        while mask != 0:
            k = trailing_zeros(mask)
            letter = byte(source, i + k + 1)
            if encoding == AS_JSON and letter != SLASH and letter != LETTER_U and k < BLOCK - 1:
                mask &= np.int64(-4) << k  # both bytes of the escape
                continue
            value, size = np.int64(_MEANING[letter]), np.int64(2)
            if value < 0:
                value, size = escape_at(source, i + k, end)
            at += k - done
            if size == 1 or k + size >= BLOCK or i + k + size > end:
                break
            at = _put_point(target, at, value, encoding)
            done = k + size
            copy_block(target, at, source, i + done)
            mask &= np.int64(-1) << done
        if mask == 0:
            at += BLOCK - done
            i += BLOCK
        else:
            at, i = _put_one(target, at, source, i + k, end, encoding)
    at -= max(i - end, 0)
    while i < end:
        at, i = _put_one(target, at, source, i, end, encoding)
    return at


@inner
def unescape(target, at, source, start, count):
    """Body -> UTF-8; never longer."""
    return _rewrite(target, at, source, start, count, AS_TEXT)


@inner
def recode(target, at, source, start, count):
    """Body -> canonical body; never longer."""
    return _rewrite(target, at, source, start, count, AS_JSON)


@inner
def _is_space(value):
    return value == 32 or value == 9 or value == 10 or value == 13


@inner
def compact(target, at, source, start, count):
    """A JSON value without its line breaks and the indentation after them; never longer."""
    i = start
    end = start + count
    while i < end:
        if i + BLOCK <= source[1]:
            copy_block(target, at, source, i)
            mask = mask_line_break(source, i)
            step = BLOCK if mask == 0 else trailing_zeros(mask)
            at += step
            i += step
            if mask == 0 or i >= end:
                continue
        if byte(source, i) != 10 and byte(source, i) != 13:
            put_byte(target, at, byte(source, i))
            at += 1
            i += 1
            continue
        while i < end and _is_space(byte(source, i)):
            i += 1
    return at - max(i - end, 0)


@inner
def put_plain(target, at, source, start, count, kind):
    """The UTF-8 of a span, at most `count` bytes."""
    if kind == ESCAPED or kind == CANONICAL:
        return unescape(target, at, source, start, count)
    if kind == CLEAN or kind == PLAIN or kind == JSON:
        copy(target, at, source, start, count)
        return at + count
    return at


@kernel
def _measure(source, start, length, kind, n):
    """(bytes that `n` spans have together, -1), or (0, the first span that cannot be read)."""
    total = 0
    for i in range(n):
        count = item64(length, i)
        first = item64(start, i)
        if first < 0 or count < 0 or count > source[1] or first > source[1] - count or byte(kind, i) > JSON:
            return 0, i
        total += count
    return total, -1


@kernel
def _decode(target, offsets, source, start, length, kind, n):
    at = np.int64(0)
    offsets[0] = 0
    for i in range(n):
        at = put_plain(target, at, source, item64(start, i), item64(length, i), byte(kind, i))
        offsets[i + 1] = at


def decode(column: Spans, scratch: Scratch) -> Text:
    """The UTF-8 of each value: CANONICAL and ESCAPED unescaped, JSON its text, NULL and ABSENT empty.

    Valid until the next call with the same scratch. Raises ValueError where a span lies outside its buffer
    or has no known kind. Bytes moved: 2 x the spans' bytes, and 17 a value.
    """
    n = len(column)
    data, start, length, kind = contiguous(column)
    spans = whole(data), whole(start), whole(length), whole(kind)
    total, bad = _measure(*spans, n)
    if bad >= 0:
        raise ValueError(f"value {bad} of a column lies outside its buffer or has an unknown kind")
    target = scratch.array("decode.data", total + PADDING, np.uint8)
    offsets = scratch.array("decode.offsets", n + 1, np.int64)
    _decode(whole(target), offsets, *spans, n)
    return Text(target[: offsets[n] + PADDING], offsets)


def contiguous(column: Spans) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(data, start, length, kind), each as a kernel reads it: C-contiguous, of the layout's type.

    Raises ValueError where the arrays differ in length.
    """
    n = len(column.kind)
    if len(column.start) != n or len(column.length) != n:
        raise ValueError(f"a column has {len(column.start)} starts, {len(column.length)} lengths, {n} kinds")
    return (
        np.ascontiguousarray(column.data, np.uint8),
        np.ascontiguousarray(column.start, np.int64),
        np.ascontiguousarray(column.length, np.int64),
        np.ascontiguousarray(column.kind, np.uint8),
    )
