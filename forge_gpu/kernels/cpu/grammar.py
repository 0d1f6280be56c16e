"""JSON as RFC 8259 has it, read from left to right without a copy. See reference/grammar.py.

Indices, `high` and `marks` are those of `strings`. `blank` is a mask of the bytes that are white space.
"""

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import BLOCK, byte, item64, mask_difference, put_byte, put_word, word
from forge_gpu.kernels.cpu.names import find_escaped, find_raw, name_length, next_name
from forge_gpu.kernels.cpu.strings import HAS_ESCAPE, INVALID, NONE, QUOTE, body_kind, string_end
from forge_gpu.kernels.layout import JSON, MAX_DEPTH, NULL

TOO_DEEP = -int(Reason.TOO_DEEP)

LINE_BLANK = np.int64(1 << ord(" ") | 1 << ord("\t") | 1 << ord("\r"))
"""White space inside a line, a bit for each byte; BLANK is all of it."""
BLANK = np.int64(LINE_BLANK | 1 << ord("\n"))

COMMA, COLON, PLUS, MINUS, POINT, ZERO, NINE = (ord(c) for c in ",:+-.09")
OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY = ord("{"), ord("}"), ord("[")
LETTER_N, LETTER_T, LETTER_F, LETTER_E = (ord(c) for c in "ntfe")
OPEN_TO_CLOSE = 2  # both brackets close two code points later
SEAM_START, SEAM_SIZE, SEAM_NAME = range(3)
SEAM = 3  # items
NOT_FOUND = np.int64(-1)
TRUE, FALSE, NULL_WORD = (np.int64(int.from_bytes(s, "little")) for s in (b"true", b"false", b"null"))


@inner
def put_span(columns, k, row, start, length, kind):
    """Write value `row` of column k. columns: (start, length, kind, rows), three buffers of [k, rows]
    int64, int64 and uint8 items."""
    starts, lengths, kinds, rows = columns
    i = k * rows + row
    put_word(starts, 8 * i, np.uint64(start))
    put_word(lengths, 8 * i, np.uint64(length))
    put_byte(kinds, i, kind)


@inner
def get_span(columns, k, row):
    """(start, length, kind) of value `row` of column k."""
    starts, lengths, kinds, rows = columns
    i = k * rows + row
    return np.int64(word(starts, 8 * i)), np.int64(word(lengths, 8 * i)), byte(kinds, i)


@inner
def after_blank(buffer, p, blank):
    """Index of the first byte from p on that is none of `blank`, or the buffer's size."""
    while p < buffer[1]:
        c = byte(buffer, p)
        if c > 32 or (blank >> c) & 1 == 0:
            break
        p += 1
    return p


@inner
def _digits_end(buffer, p):
    while p < buffer[1] and ZERO <= byte(buffer, p) <= NINE:
        p += 1
    return p


@inner
def _number_end(buffer, p):
    size = buffer[1]
    if byte(buffer, p) == MINUS:
        p += 1
    end = _digits_end(buffer, p)
    if end == p or (end > p + 1 and byte(buffer, p) == ZERO):
        return INVALID
    p = end
    if p < size and byte(buffer, p) == POINT:
        end = _digits_end(buffer, p + 1)
        if end == p + 1:
            return INVALID
        p = end
    if p < size and byte(buffer, p) | 32 == LETTER_E:
        p += 1
        if p < size and (byte(buffer, p) == PLUS or byte(buffer, p) == MINUS):
            p += 1
        end = _digits_end(buffer, p)
        if end == p:
            return INVALID
        p = end
    return p


@inner
def _literal_end(buffer, p, literal):
    """Index after the bytes of `literal`, the first one lowest, at p."""
    while literal != 0:
        if p >= buffer[1] or byte(buffer, p) != literal & 255:
            return INVALID
        literal >>= 8
        p += 1
    return p


@inner
def _scalar_end(buffer, p):
    """Index after the number, true, false or null at p."""
    c = byte(buffer, p)
    if c == LETTER_N:
        return _literal_end(buffer, p, NULL_WORD)
    if c == LETTER_T:
        return _literal_end(buffer, p, TRUE)
    if c == LETTER_F:
        return _literal_end(buffer, p, FALSE)
    return _number_end(buffer, p)


@inner
def _colon_end(buffer, p, blank):
    """Index of the value that follows the key whose closing quote is just before p."""
    p = after_blank(buffer, p, blank)
    if p >= buffer[1] or byte(buffer, p) != COLON:
        return INVALID
    return after_blank(buffer, p + 1, blank)


@inner
def _key_end(buffer, p, blank):
    """(index of the value, high, marks) of the member that begins at p."""
    if p >= buffer[1] or byte(buffer, p) != QUOTE:
        return INVALID, 0, 0
    quote, high, marks = string_end(buffer, p + 1)
    if quote < 0:
        return INVALID, high, marks
    return _colon_end(buffer, quote + 1, blank), high, marks


@inner
def value_end(buffer, p, blank, depth, closings):
    """(index after the value, high, marks) of any value at p, inside `depth` brackets, wholly checked.

    closings: a buffer of MAX_DEPTH bytes, the closing brackets that are due; used from `depth` on.
    """
    size = buffer[1]
    high = 0
    marks = 0
    around = depth
    while True:
        if p < 0 or p >= size:
            return INVALID, high, marks
        c = byte(buffer, p)
        opened = c | 0x20 == OPEN_OBJECT  # or [, which is 0x20 less
        if opened:
            if depth == MAX_DEPTH:
                return TOO_DEEP, high, marks
            put_byte(closings, depth, c + OPEN_TO_CLOSE)
            depth += 1
            p = after_blank(buffer, p + 1, blank)
            opened = p >= size or byte(buffer, p) != c + OPEN_TO_CLOSE  # else it is empty and closes below
        elif c == QUOTE:
            quote, more_high, more_marks = string_end(buffer, p + 1)
            high |= more_high
            marks |= more_marks
            p = quote + 1 if quote >= 0 else quote
        else:
            p = _scalar_end(buffer, p)
        if p < 0:
            return p, high, marks
        while not opened and depth > around:
            p = after_blank(buffer, p, blank)
            if p >= size:
                return INVALID, high, marks
            c = byte(buffer, p)
            if c == COMMA:
                p = after_blank(buffer, p + 1, blank)
                break
            if c != byte(closings, depth - 1):
                return INVALID, high, marks
            depth -= 1
            p += 1
        if depth == around:
            return p, high, marks
        if byte(closings, depth - 1) == CLOSE_OBJECT:
            p, more_high, more_marks = _key_end(buffer, p, blank)
            high |= more_high
            marks |= more_marks


@inner
def _known_key_end(buffer, p, names, expected):
    """(index of the closing quote, name or -1, high, marks) of the key whose body begins at p."""
    k = find_raw(buffer, p, names, expected)
    if k >= 0:
        return p + name_length(names, k), k, NONE, NONE
    end, high, marks = string_end(buffer, p)
    if end >= 0 and marks & HAS_ESCAPE:
        k = find_escaped(buffer, p, end, names)
    return end, k, high, marks


def new_seams(names, scratch):
    """The array of seams for so many names, as it is at first (see members_end)."""
    seams = scratch.array("grammar.seams", (names + 2) * SEAM, np.int64)
    seams[:] = 0
    return seams


@inner
def _find_seam(buffer, p, seams, slot):
    """(index of the string that follows, name) if the bytes at p are those of the slot; else (0, -1)."""
    start, size = item64(seams, SEAM * slot + SEAM_START), item64(seams, SEAM * slot + SEAM_SIZE)
    if size == 0 or p + BLOCK > buffer[1] or mask_difference(buffer, p, start) << (BLOCK - size) != 0:
        return NONE, NOT_FOUND
    return p + size, item64(seams, SEAM * slot + SEAM_NAME)


@inner
def _keep_seam(buffer, begin, end, seams, slot, name):
    if end - begin <= BLOCK and begin + BLOCK <= buffer[1]:
        put_word(seams, 8 * (SEAM * slot + SEAM_START), np.uint64(begin))
        put_word(seams, 8 * (SEAM * slot + SEAM_SIZE), np.uint64(end - begin))
        put_word(seams, 8 * (SEAM * slot + SEAM_NAME), np.uint64(name))


@inner
def members_end(buffer, p, blank, depth, closings, names, seams, columns, row):
    """(index after the object, high, marks, members) of the object whose opening bracket is just before p.

    depth: brackets open, the object's own included. The value of name k goes to (k, row) of `columns`,
    see put_span; those that the object lacks are left as they are.

    seams: a buffer of int64[names + 2, SEAM], all 0 at first, kept while `buffer` is. What is between two
    values, as `, "output": "`, is mostly the bytes that it was in the object before: then it need not be read
    again. A seam ends with the quote that opens a string; slot 0 is of the beginning of an object, slot
    1 + k of where name k is expected.
    """
    size = buffer[1]
    high = 0
    marks = 0
    members = 0
    expected = NONE
    slot = NONE
    while True:
        begin = p
        p, k = _find_seam(buffer, begin, seams, slot)
        c = np.int64(QUOTE)
        if p == 0:
            p = after_blank(buffer, begin, blank)
            if p >= size:
                return INVALID, high, marks, members
            c = byte(buffer, p)
            if c == CLOSE_OBJECT:
                return p + 1, high, marks, members
            if members > 0:
                if c != COMMA:
                    return INVALID, high, marks, members
                p = after_blank(buffer, p + 1, blank)
            if p >= size or byte(buffer, p) != QUOTE:
                return INVALID, high, marks, members
            p += 1
            end, k, more_high, more_marks = _known_key_end(buffer, p, names, expected)
            if end < 0:
                return end, high, marks, members
            high |= more_high
            marks |= more_marks
            p = _colon_end(buffer, end + 1, blank)
            if p < 0 or p >= size:
                return INVALID, high, marks, members
            c = byte(buffer, p)
            if c == QUOTE:
                p += 1
                if more_high | more_marks == 0:
                    _keep_seam(buffer, begin, p, seams, slot, k)
        if c == QUOTE:
            end, more_high, more_marks = string_end(buffer, p)
            result = body_kind(more_marks)
        else:
            end, more_high, more_marks = value_end(buffer, p, blank, depth, closings)
            result = np.int64(NULL if c == LETTER_N else JSON)
        if end < 0:
            return end, high, marks, members
        high |= more_high
        marks |= more_marks
        members += 1
        if k >= 0:
            expected = next_name(names, k)
            there = result != NULL
            put_span(columns, k, row, p if there else NONE, end - p if there else NONE, result)
        slot = expected + 1
        p = end + 1 if c == QUOTE else end
