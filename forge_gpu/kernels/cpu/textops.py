r"""What chat templates do to texts, on spans. See reference/textops.py.

A cursor steps over characters as the span spells them: UTF-8, or in a JSON body also an escape such as
`\n` or `é`. A search jumps from candidate to candidate, 64 bytes at a time: the first byte of what is
searched, or a backslash, which may spell it. Bytes read: those stepped over, each once; none written but
the results (17 bytes a value that is cut, 1 a value that is asked).
"""

from functools import lru_cache

import numpy as np

from forge_gpu.kernels.cache import CHECKED
from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.jsontext import contiguous, escape_at
from forge_gpu.kernels.cpu.memory import BLOCK, BLOCK_OF_BYTES, byte, item64, prefetch, trailing_zeros, whole
from forge_gpu.kernels.cpu.memory import _check as check
from forge_gpu.kernels.layout import CANONICAL, ESCAPED, I64, NULL, Spans
from forge_gpu.kernels.lowering import intrinsic, ir, types
from forge_gpu.kernels.reference.textops import WHITE_SPACE, Bools

BACKSLASH = ord("\\")
I8, WORD = ir.IntType(8), ir.IntType(64)
AHEAD = 64
"""How many values ahead the ends of a text are fetched: a strip waits for memory, not for the processor."""
ALL = np.int64(2**62)
"""As a number of characters: more than any text has."""


@inner
def _has_escapes(kind):
    return kind == CANONICAL or kind == ESCAPED


@intrinsic
def _mask_of_bytes(typing_context, base, index, one, other):
    """int64 whose bit k says that byte index + k is `one` or `other`."""

    def generate(context, builder, signature, arguments):
        base, index, one, other = arguments
        pointer = builder.inttoptr(builder.add(base, index), BLOCK_OF_BYTES.as_pointer())
        block = builder.load(pointer, align=1)
        zero = ir.Constant(BLOCK_OF_BYTES, None)
        lane = ir.Constant(ir.IntType(32), 0)
        spread = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), [0] * BLOCK)

        def splat(value):
            single = builder.insert_element(zero, builder.trunc(value, I8), lane)
            return builder.shuffle_vector(single, zero, spread)

        result = builder.or_(
            builder.icmp_unsigned("==", block, splat(one)), builder.icmp_unsigned("==", block, splat(other))
        )
        return builder.bitcast(result, WORD)

    return types.int64(types.uint64, types.int64, types.int64, types.int64), generate


@inner
def _find(buffer, i, end, one, other):
    """The first byte in [i, end) that is `one` or `other`; `end` if there is none."""
    while i + BLOCK <= buffer[1] and i < end:
        if CHECKED:
            check(buffer, i, BLOCK)
        mask = _mask_of_bytes(buffer[0], i, one, other)
        if mask != 0:
            return min(i + trailing_zeros(mask), end)
        i += BLOCK
    while i < end:
        value = byte(buffer, i)
        if value in (one, other):
            return i
        i += 1
    return min(i, end)


@inner
def _next(buffer, i, end, escaped):
    """(code point, end) of the character at i."""
    value = byte(buffer, i)
    if value < 0x80:
        if escaped and value == BACKSLASH:
            code, size = escape_at(buffer, i, end)
            return (np.int64(BACKSLASH), i + 1) if code < 0 else (code, i + size)
        return value, i + 1
    size = 2 if value < 0xE0 else 3 if value < 0xF0 else 4
    if i + size > end:  # bytes that are no UTF-8: one is one character
        return np.int64(0x110000) + value, i + 1
    code = value & (0x7F >> size)
    for k in range(1, size):
        code = code << 6 | byte(buffer, i + k) & 0x3F
    return code, i + size


@inner
def _escape_before(buffer, start, i):
    """Where the escape that ends at i starts, or i: a backslash that a run of others does not take."""
    for size in (2, 6):
        at = i - size
        if at < start or byte(buffer, at) != BACKSLASH:
            continue
        if size == 6 and byte(buffer, at + 1) != 117:
            continue
        run = at
        while run > start and byte(buffer, run - 1) == BACKSLASH:
            run -= 1
        if (at - run) % 2 == 0:
            return at
    return i


@inner
def _previous(buffer, start, i, escaped):
    """(code point, start) of the character that ends at i > start."""
    if escaped:
        at = _escape_before(buffer, start, i)
        if at < i:
            code, size = escape_at(buffer, at, i)
            low = 0xDC00 <= _unit(buffer, at, i) < 0xE000
            if low and at - 6 >= start:  # the second half of a pair
                pair, size = escape_at(buffer, at - 6, i)
                if size == 12 and _escape_before(buffer, start, at) == at - 6:
                    return pair, at - 6
            if code >= 0 and size == i - at:
                return code, at
    at = i - 1
    while at > start and at > i - 4 and byte(buffer, at) & 0xC0 == 0x80:
        at -= 1
    code, end = _next(buffer, at, i, False)
    if end != i:
        return np.int64(0x110000) + byte(buffer, i - 1), i - 1
    return code, at


@inner
def _unit(buffer, at, end):
    """The UTF-16 unit of a six-byte escape; 0 for another."""
    if end - at != 6:
        return np.int64(0)
    value = np.int64(0)
    for k in range(2, 6):
        digit = byte(buffer, at + k)
        value = value * 16 + (digit - 48 if digit < 58 else (digit | 32) - 87)
    return value


@inner
def _among(code, characters, small):
    """Is a code point one of the characters? A buffer of int64; `small`: bit c, for c below 64."""
    if code < 64:
        return small >> code & 1 == 1
    if code < 128 and characters[1] > 0 and item64(characters, 0) >= 128:
        return False
    for k in range(characters[1] // 8):
        if item64(characters, k) == code:
            return True
    return False


@inner
def _match(buffer, i, end, escaped, pattern):
    """Where the text at i has gone on past `pattern` (a buffer of int64 code points); -1 if it differs."""
    for k in range(pattern[1] // 8):
        if i >= end:
            return np.int64(-1)
        code, i = _next(buffer, i, end, escaped)
        if code != item64(pattern, k):
            return np.int64(-1)
    return i


@inner
def _match_before(buffer, start, i, escaped, pattern):
    """Where the text before i starts with `pattern` as its end; -1 if it differs."""
    for k in range(pattern[1] // 8 - 1, -1, -1):
        if i <= start:
            return np.int64(-1)
        code, i = _previous(buffer, start, i, escaped)
        if code != item64(pattern, k):
            return np.int64(-1)
    return i


@inner
def _search(buffer, i, end, escaped, pattern, first_byte):
    """(start, end) of the first `pattern` at or after i; (-1, -1) if there is none."""
    other = BACKSLASH if escaped else first_byte
    while True:
        i = _find(buffer, i, end, first_byte, other)
        if i >= end:
            return np.int64(-1), np.int64(-1)
        after = _match(buffer, i, end, escaped, pattern)
        if after >= 0:
            return i, after
        i = _next(buffer, i, end, escaped)[1]


@kernel
def _strip(spans, at, every, begins, ends, characters, small, sides, pending, out_start, out_length):
    """Values `at`, or `every` one. Returns -1, or the first that lies outside of the buffer.

    First a look at the outer bytes of each text, without a branch; then those that may have to be cut.
    begins, ends: buffers of 256 flags, the bytes with which a character to strip can begin and end.
    pending: int64[k], for the values that may have to be cut.
    """
    source, start, length, kind = spans
    count = len(out_start)
    waiting = 0
    for k in range(count):
        ahead = min(k + AHEAD, count - 1)
        ahead = ahead if every else item64(at, ahead)
        prefetch(source[0], item64(start, ahead))
        end = item64(start, ahead) + item64(length, ahead)
        prefetch(source[0], end - 6)
        prefetch(source[0], end - 1)
        i = k if every else item64(at, k)
        low, size = item64(start, i), item64(length, i)
        if low < 0 or size < 0 or size > source[1] or low > source[1] - size:
            return i
        out_start[k] = low
        out_length[k] = size
        if size == 0:
            continue
        high = low + size
        first = byte(source, low)
        cut = byte(begins, first) | byte(ends, byte(source, high - 1))
        escape = first == BACKSLASH or byte(source, max(low, high - 2)) == BACKSLASH
        escape |= byte(source, max(low, high - 6)) == BACKSLASH
        pending[waiting] = k
        waiting += cut | (_has_escapes(byte(kind, i))) & escape
    for p in range(waiting):
        k = pending[p]
        i = k if every else item64(at, k)
        if byte(kind, i) <= NULL:
            continue
        escaped = _has_escapes(byte(kind, i))
        low = item64(start, i)
        high = low + item64(length, i)
        while sides & 1 and low < high:
            code, after = _next(source, low, high, escaped)
            if not _among(code, characters, small):
                break
            low = after
        while sides & 2 and high > low:
            code, before = _previous(source, low, high, escaped)
            if not _among(code, characters, small):
                break
            high = before
        out_start[k] = low
        out_length[k] = high - low
    return -1


@inner
def _skip(source, i, end, escaped, count):
    """Past `count` characters, or the end."""
    while count > 0 and i < end:
        i = _next(source, i, end, escaped)[1]
        count -= 1
    return i


@inner
def _skip_back(source, start, i, escaped, count):
    while count > 0 and i > start:
        i = _previous(source, start, i, escaped)[1]
        count -= 1
    return i


@kernel
def _cut(source, start, length, kind, at, begin, end, out_start, out_length):
    for k in range(at[1] // 8):
        i = item64(at, k)
        if kind[i] <= NULL:
            continue
        escaped = _has_escapes(kind[i])
        low, high = start[i], start[i] + length[i]
        if begin >= 0:
            first = _skip(source, low, high, escaped, begin)
        else:
            first = _skip_back(source, low, high, escaped, -begin)
        if end == ALL:
            last = high
        elif end >= 0:
            last = _skip(source, low, high, escaped, end)
        else:
            last = _skip_back(source, low, high, escaped, -end)
        out_start[k] = first
        out_length[k] = max(last - first, 0)


@kernel
def _piece(source, start, length, kind, at, pattern, first_byte, limit, index, out_start, out_length):
    for k in range(at[1] // 8):
        i = item64(at, k)
        if kind[i] <= NULL:
            continue
        escaped = _has_escapes(kind[i])
        low, high = start[i], start[i] + length[i]
        required = index
        if required < 0:
            required += 1 + _count(source, low, high, escaped, pattern, first_byte, limit)
        number, stop = np.int64(0), low
        while required >= 0:
            stop, after = np.int64(-1), np.int64(-1)
            if number < limit:
                stop, after = _search(source, low, high, escaped, pattern, first_byte)
            if number == required or stop < 0:
                break
            low = after
            number += 1
        if stop < 0:
            stop = high
        there = required >= 0 and number == required
        out_start[k] = low if there else start[i]
        out_length[k] = stop - low if there else 0


@inner
def _count(source, i, end, escaped, pattern, first_byte, enough):
    """How often the text has `pattern`, at most `enough` times, without overlap."""
    result = np.int64(0)
    while result < enough:
        _, i = _search(source, i, end, escaped, pattern, first_byte)
        if i < 0:
            break
        result += 1
    return result


@kernel
def _remove_affix(source, start, length, kind, at, pattern, at_end, out_start, out_length):
    for k in range(at[1] // 8):
        i = item64(at, k)
        if kind[i] <= NULL:
            continue
        escaped = _has_escapes(kind[i])
        low, high = start[i], start[i] + length[i]
        if at_end:
            before = _match_before(source, low, high, escaped, pattern)
            high = high if before < 0 else before
        else:
            after = _match(source, low, high, escaped, pattern)
            low = low if after < 0 else after
        out_start[k] = low
        out_length[k] = high - low


STARTS, ENDS, EQUALS, COUNTS, AT_LEAST = range(5)


@kernel
def _ask(source, start, length, kind, at, question, pattern, first_byte, number, answer):
    for k in range(at[1] // 8):
        i = item64(at, k)
        escaped = _has_escapes(kind[i])
        low, high = start[i], start[i] + length[i]
        if question == STARTS:
            answer[k] = _match(source, low, high, escaped, pattern) >= 0
        elif question == ENDS:
            answer[k] = _match_before(source, low, high, escaped, pattern) >= 0
        elif question == EQUALS:
            answer[k] = _match(source, low, high, escaped, pattern) == high
        elif question == COUNTS:
            answer[k] = _count(source, low, high, escaped, pattern, first_byte, number) >= number
        else:
            result = np.int64(0)
            while result < number and low < high:
                low = _next(source, low, high, escaped)[1]
                result += 1
            answer[k] = result >= number


@kernel
def _characters(source, start, length, kind, at, counted):
    for k in range(at[1] // 8):
        i = item64(at, k)
        low, high = start[i], start[i] + length[i]
        if _has_escapes(kind[i]):
            result = np.int64(0)
            while low < high:
                low = _next(source, low, high, True)[1]
                result += 1
        else:
            result = high - low
            while low < high:  # all bytes but those that go on a character
                result -= byte(source, low) & 0xC0 == 0x80
                low += 1
        counted[k] = result


def _points(text: str) -> np.ndarray:
    return np.array([ord(character) for character in text], np.int64)


def _within(column: Spans, at: I64) -> I64:
    """Raises ValueError where the column has no such value."""
    at = np.ascontiguousarray(at, np.int64)
    if len(at) and (at.min() < 0 or at.max() >= len(column)):
        raise ValueError(f"a value is none of the {len(column)} of the column")
    return at


def _outside(value: int) -> ValueError:
    return ValueError(f"value {value} of a column lies outside its buffer")


def _checked(column: Spans, at: I64):
    """The arrays of a column as a kernel reads them. Raises ValueError where a value cannot be read."""
    data, start, length, kind = contiguous(column)
    at = _within(column, at)
    begin, size = start[at], length[at]
    outside = (begin < 0) | (size < 0) | (begin + size > len(data))
    if outside.any():
        raise _outside(int(at[outside.argmax()]))
    return data, start, length, kind, at


def _derived(column: Spans, at: I64, run) -> Spans:
    data, start, length, kind, at = _checked(column, at)
    out_start, out_length = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    run(whole(data), start, length, kind, whole(at), out_start, out_length)
    return Spans(column.data, out_start, out_length, kind[at])


def strip(column: Spans, at: I64 | None, left: bool, right: bool, characters: str | None = None) -> Spans:
    """text.strip, lstrip or rstrip; without `characters`, of white space. at: None for every value."""
    sides = (1 if left else 0) + (2 if right else 0)
    spans = contiguous(column)
    kind = spans[3]
    every = at is None
    values = np.zeros(0, np.int64) if at is None else _within(column, at)
    start, length, pending = np.empty((3, len(column) if every else len(values)), np.int64)
    unwanted, small, begins, ends = _unwanted(WHITE_SPACE if characters is None else characters, sides)
    sought = whole(begins), whole(ends), whole(unwanted), small, sides
    bad = _strip(tuple(map(whole, spans)), whole(values), every, *sought, pending, start, length)
    if bad >= 0:
        raise _outside(bad)
    return Spans(column.data, start, length, kind if every else kind[values])


@lru_cache
def _unwanted(characters: str, sides: int) -> tuple[np.ndarray, np.int64, np.ndarray, np.ndarray]:
    """(code points from 64 on, a bit for each below, flags of first bytes, flags of last bytes)."""
    points = np.sort(_points(characters))
    small = np.bitwise_or.reduce(np.int64(1) << points[points < 64], initial=np.int64(0))
    flags = np.zeros((2, 256), np.uint8)
    for spelled in (character.encode("utf-8", "surrogatepass") for character in characters):
        flags[0, spelled[0]], flags[1, spelled[-1]] = sides & 1, sides >> 1
    return points[points >= 64], small, flags[0], flags[1]


def cut(column: Spans, at: I64, start: int | None, stop: int | None) -> Spans:
    """text[start:stop], in code points."""
    begin, end = np.int64(start or 0), ALL if stop is None else np.int64(stop)
    return _derived(column, at, lambda s, b, n, k, at, x, y: _cut(s, b, n, k, at, begin, end, x, y))


def piece(column: Spans, at: I64, separator: str, limit: int, index: int) -> Spans:
    """text.split(separator, limit)[index], an empty text where there is no such piece."""
    points, most = _pattern(separator), ALL if limit < 0 else np.int64(limit)
    first = separator.encode()[0]
    return _derived(
        column,
        at,
        lambda s, b, n, k, at, x, y: _piece(s, b, n, k, at, whole(points), first, most, index, x, y),
    )


def remove_affix(column: Spans, at: I64, affix: str, at_end: bool) -> Spans:
    """text.removeprefix(affix), or removesuffix."""
    points = _points(affix)
    return _derived(
        column, at, lambda s, b, n, k, at, x, y: _remove_affix(s, b, n, k, at, whole(points), at_end, x, y)
    )


def starts_with(column: Spans, at: I64, prefix: str) -> Bools:
    return _answers(column, at, STARTS, prefix, 0)


def ends_with(column: Spans, at: I64, suffix: str) -> Bools:
    return _answers(column, at, ENDS, suffix, 0)


def equals(column: Spans, at: I64, other: str) -> Bools:
    return _answers(column, at, EQUALS, other, 0)


def counts(column: Spans, at: I64, part: str, times: int) -> Bools:
    """text.count(part) >= times; `part` is not empty."""
    _pattern(part)
    return _answers(column, at, COUNTS, part, times)


def characters(column: Spans, at: I64) -> I64:
    """len(text), in code points: int64[k]."""
    data, start, length, kind, at = _checked(column, at)
    counted = np.zeros(len(at), np.int64)
    _characters(whole(data), start, length, kind, whole(at), counted)
    return counted


def at_least(column: Spans, at: I64, length: int) -> Bools:
    """len(text) >= length, in code points."""
    return _answers(column, at, AT_LEAST, "", length)


def _pattern(text: str) -> np.ndarray:
    if not text:
        raise ValueError("an empty separator")
    return _points(text)


def _answers(column: Spans, at: I64, question: int, text: str, number: int) -> Bools:
    data, start, length, kind, at = _checked(column, at)
    points, answer = _points(text), np.zeros(len(at), np.bool_)
    first = text.encode()[0] if text else 0
    _ask(whole(data), start, length, kind, whole(at), question, whole(points), first, number, answer)
    return answer
