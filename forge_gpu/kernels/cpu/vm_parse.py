r"""The JSON of a row's variable to cells. As strict as the scanner's grammar; what it refuses is Jinja's.

A string that is spelled as Forge writes it is not copied: its cell names the bytes of the row. Other
spellings (\/, \u00e9, ...) are written anew, once.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import (
    BLOCK,
    byte,
    check,
    half,
    item64,
    mask_json_special,
    put_byte,
    put_item64,
    trailing_zeros,
)
from forge_gpu.kernels.cpu.vm_machine import (
    GOING_ON,
    MORE_CELLS,
    MORE_STACK,
    MORE_TEXT,
    TO_JINJA,
    buffer_at,
    cells,
    four_digits,
    has_cells,
    has_text_room,
    memory,
    put2,
    same_bytes,
    take_cells,
    unescaped,
)
from forge_gpu.kernels.layout import MAX_DEPTH
from forge_gpu.kernels.vm_layout import (
    BIGINT,
    BOOL,
    DICT,
    FLOAT,
    INT,
    LIST,
    MAX_MEMBERS,
    NONE,
    TEXT,
    TYPE_BITS,
    Word,
)

MOST_DIGITS = 4000  # Python takes 4,300
TRUE, ALSE, NULL = (int.from_bytes(text, "little") for text in (b"true", b"alse", b"null"))


@inner
def after_blank(mem, p, end):
    while p < end:
        c = byte(mem, p)
        if c != 32 and c != 10 and c != 13 and c != 9:
            break
        p += 1
    return p


@inner
def byte_before(mem, p, end):
    """The byte at p, 0 from `end` on."""
    return byte(mem, p) if p < end else np.int64(0)


@inner
def special_at(mem, p, end):
    """The first place from p on of a quote, a backslash or a control character; `end` if that is later."""
    while p < end:
        mask = mask_json_special(mem, p)
        if mask != 0:
            return min(p + trailing_zeros(mask), end)
        p += BLOCK
    return end


@inner
def string_end(mem, p, end):
    """(place of the quote that closes the string whose body is at p or -1, is it canonical)."""
    canonical = True
    while True:
        p = special_at(mem, p, end)
        if p >= end:
            return -1, False
        c = byte(mem, p)
        if c == 34:
            return p, canonical
        if c < 32:
            return -1, False
        c = byte(mem, p + 1)
        if c == 117:
            value = four_digits(mem, p + 2)
            if value < 0:
                return -1, False
            upper = 65 <= byte(mem, p + 4) <= 70 or 65 <= byte(mem, p + 5) <= 70
            if value >= 32 or value in (8, 9, 10, 12, 13) or upper:
                canonical = False
            p += 6
        elif c in (34, 92, 110, 116, 114, 98, 102):
            p += 2
        elif c == 47:
            canonical = False
            p += 2
        else:
            return -1, False


@inner
def put_code_point(mem, p, value):
    """The place after a code point that is put at p as a body spells it."""
    if value == 34 or value == 92:
        put2(mem, p, 92, value)
        return p + 2
    if value < 32:
        short = 0
        if value == 10:
            short = 110
        elif value == 9:
            short = 116
        elif value == 13:
            short = 114
        elif value == 8:
            short = 98
        elif value == 12:
            short = 102
        if short:
            put2(mem, p, 92, short)
            return p + 2
        put2(mem, p, 92, 117)
        put2(mem, p + 2, 48, 48)
        low = value & 15
        put2(mem, p + 4, 48 + (value >> 4), 48 + low if low < 10 else 87 + low)
        return p + 6
    return put_utf8(mem, p, value)


@inner
def put_utf8(mem, p, value):
    """The place after a code point that is put at p as UTF-8."""
    if value < 0x80:
        put_byte(mem, p, value)
        return p + 1
    if value < 0x800:
        put2(mem, p, 0xC0 | value >> 6, 0x80 | value & 63)
        return p + 2
    if value < 0x10000:
        put2(mem, p, 0xE0 | value >> 12, 0x80 | value >> 6 & 63)
        put_byte(mem, p + 2, 0x80 | value & 63)
        return p + 3
    put2(mem, p, 0xF0 | value >> 18, 0x80 | value >> 12 & 63)
    put2(mem, p + 2, 0x80 | value >> 6 & 63, 0x80 | value & 63)
    return p + 4


@inner
def escape_value(mem, p):
    """(code point of the escape at p, its bytes); -1 for half a surrogate pair."""
    c = byte(mem, p + 1)
    if c != 117:
        return unescaped(c), 2
    value = four_digits(mem, p + 2)
    if not 0xD800 <= value < 0xE000:
        return value, 6
    if value >= 0xDC00 or byte(mem, p + 6) != 92 or byte(mem, p + 7) != 117:
        return -1, 6
    low = four_digits(mem, p + 8)
    if not 0xDC00 <= low < 0xE000:
        return -1, 6
    return 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00), 12


@inner
def respell(m, p, end, as_body):
    """Write the body of any spelling in [p, end) behind the texts, as a body or plain UTF-8. An Outcome."""
    if not has_text_room(m, end - p):  # no spelling is shorter than what is written for it
        return MORE_TEXT
    mem = memory(m)
    at = item64(m, Word.TEXT)
    while p < end:
        c = byte(mem, p)
        if c != 92:
            put_byte(mem, at, c)
            at += 1
            p += 1
            continue
        value, size = escape_value(mem, p)
        if value < 0:
            return TO_JINJA
        at = put_code_point(mem, at, value) if as_body else put_utf8(mem, at, value)
        p += size
    put_item64(m, Word.TEXT, at)
    return GOING_ON


@inner
def parse_string(m, p, end):
    """(start, word, place after the closing quote) of the string whose body is at p; place -Outcome."""
    mem = memory(m)
    close, canonical = string_end(mem, p, end)
    if close < 0:
        return np.int64(0), np.int64(0), np.int64(-TO_JINJA)
    if canonical:
        return p, (close - p) << TYPE_BITS | TEXT, close + 1
    start = item64(m, Word.TEXT)
    outcome = respell(m, p, close, True)
    if outcome != GOING_ON:
        return np.int64(0), np.int64(0), np.int64(-outcome)
    return start, (item64(m, Word.TEXT) - start) << TYPE_BITS | TEXT, close + 1


@inner
def digits_end(mem, p, end):
    while 48 <= byte_before(mem, p, end) <= 57:
        p += 1
    return p


@inner
def exponent_end(mem, p, end):
    """The place after the exponent whose `e` is at p, if repr() writes one and spells it so, else -1. Beyond
    300 digits are not all the value has."""
    sign = byte_before(mem, p + 1, end)
    first = p + 2
    if byte(mem, p) != 101 or (sign != 43 and sign != 45):
        return np.int64(-1)
    p = digits_end(mem, first, end)
    if p - first != 2 and (p - first != 3 or byte(mem, first) == 48):
        return np.int64(-1)
    value = np.int64(0)
    for k in range(first, p):
        value = value * 10 + byte(mem, k) - 48
    return p if value <= 300 and value >= (16 if sign == 43 else 5) else np.int64(-1)


@inner
def parse_number(mem, p, end):
    """(a, word, place after the number at p); place negative where there is none, or only Python knows how it
    spells it."""
    refused = (np.int64(0), np.int64(0), np.int64(-TO_JINJA))
    start = p
    negative = byte(mem, p) == 45
    if negative:
        p += 1
    first = p
    value = np.int64(0)
    p = digits_end(mem, first, end)
    digits = p - first
    for k in range(min(digits, 18)):
        value = value * 10 + byte(mem, first + k) - 48
    if digits == 0 or (digits > 1 and byte(mem, first) == 48):
        return refused
    c = byte_before(mem, p, end)
    if c != 46 and c != 101 and c != 69:
        if digits <= 18:
            return (-value if negative else value), np.int64(INT), p
        if digits > MOST_DIGITS:
            return refused
        return start, (p - start) << TYPE_BITS | BIGINT, p
    one_digit = digits == 1 and value != 0
    if c != 46:
        p = exponent_end(mem, p, end) if one_digit else np.int64(-1)
        return refused if p < 0 else (start, (p - start) << TYPE_BITS | FLOAT, p)
    fraction = p + 1
    p = digits_end(mem, fraction, end)
    size = p - fraction
    c = byte_before(mem, p, end)
    if size == 0:
        return refused
    # repr() spells it so if it has at most 15 digits, no idle zero, and an exponent only where it needs one
    if digits + size > 15 or (byte(mem, p - 1) == 48 and size > 1):
        return refused
    if c == 101 or c == 69:
        idle = byte(mem, p - 1) == 48
        p = exponent_end(mem, p, end) if one_digit and not idle else np.int64(-1)
        return refused if p < 0 else (start, (p - start) << TYPE_BITS | FLOAT, p)
    if value == 0 and byte(mem, p - 1) != 48:
        zeros = fraction
        while byte(mem, zeros) == 48:
            zeros += 1
        if zeros - fraction >= 4:
            return refused
    return start, (p - start) << TYPE_BITS | FLOAT, p


@inner
def key_bit(mem, start, length):
    """One bit of 64 for a key: keys with different bits differ."""
    if length == 0:
        return np.int64(1)
    mix = length * 7 + byte(mem, start) * 5 + byte(mem, start + length - 1) * 3
    return np.int64(1) << (mix & 63)


@inner
def close_object(m, base, top_of_stack):
    """Put the members on the stack from `base` on into cells, of a repeated key the last value at the first's
    place. (a, word); word -Outcome: not taken."""
    mem = memory(m)
    stack = buffer_at(m, Word.STACK)
    members = (top_of_stack - base) >> 2
    if members > MAX_MEMBERS:
        return np.int64(0), np.int64(-TO_JINJA)
    if not has_cells(m, 2 * members):
        return np.int64(0), np.int64(-MORE_CELLS)
    first = item64(m, Word.TOP)
    buffer = cells(m)
    seen = np.int64(0)
    count = 0
    for k in range(members):
        at = base + 4 * k
        start, key = item64(stack, at), item64(stack, at + 1)
        length = key >> TYPE_BITS
        bit = key_bit(mem, start, length)
        place = count
        if seen & bit:
            for other in range(count):
                cell = 2 * first + 4 * other
                if item64(buffer, cell + 1) == key and same_bytes(mem, item64(buffer, cell), start, length):
                    place = other
                    break
        seen |= bit
        cell = 2 * first + 4 * place
        if place == count:
            count += 1
            put_item64(buffer, cell, start)
            put_item64(buffer, cell + 1, key)
        put_item64(buffer, cell + 2, item64(stack, at + 2))
        put_item64(buffer, cell + 3, item64(stack, at + 3))
    take_cells(m, 2 * count)
    return first, count << TYPE_BITS | DICT


@inner
def close_list(m, base, top_of_stack):
    """As `close_object`, for a list."""
    stack = buffer_at(m, Word.STACK)
    words = top_of_stack - base
    if not has_cells(m, words >> 1):
        return np.int64(0), np.int64(-MORE_CELLS)
    first = take_cells(m, words >> 1)
    buffer = cells(m)
    for k in range(words):
        put_item64(buffer, 2 * first + k, item64(stack, base + k))
    return first, (words >> 1) << TYPE_BITS | LIST


@inner
def push_key(m, p, end, n):
    """Put the key at p on the stack, at n; the place after its colon, or -Outcome."""
    mem = memory(m)
    if byte(mem, p) != 34:
        return np.int64(-TO_JINJA)
    a, w, p = parse_string(m, p + 1, end)
    if p < 0:
        return p
    stack = buffer_at(m, Word.STACK)
    put_item64(stack, n, a)
    put_item64(stack, n + 1, w)
    p = after_blank(mem, p, end)
    if byte(mem, p) != 58:
        return np.int64(-TO_JINJA)
    return p + 1


@inner
def parse_value(m, p, end):
    """The JSON text in [p, end), blanks around it included: (a, word, Outcome).

    The stack holds members of open structures from its beginning on, and from its end down, for each
    structure, where its members begin and whether it is an object.
    """
    mem = memory(m)
    stack = buffer_at(m, Word.STACK)
    frames = (stack[1] >> 3) - 1
    limit = frames - MAX_DEPTH - 8
    check(mem, p, end - p)
    n = np.int64(0)
    depth = np.int64(0)
    a = np.int64(0)
    w = np.int64(0)
    zero = np.int64(0)
    while True:
        p = after_blank(mem, p, end)
        if p >= end:
            return zero, zero, TO_JINJA
        if n > limit:
            return zero, zero, MORE_STACK
        c = byte(mem, p)
        if c == 34:
            a, w, p = parse_string(m, p + 1, end)
            if p < 0:
                return zero, zero, -p
        elif c == 123 or c == 91:
            p = after_blank(mem, p + 1, end)
            if byte(mem, p) == c + 2:
                p += 1
                a = item64(m, Word.TOP)
                w = np.int64(DICT if c == 123 else LIST)
            else:
                if depth >= MAX_DEPTH:
                    return zero, zero, TO_JINJA
                put_item64(stack, frames - depth, n << 1 | (c == 123))
                depth += 1
                if c == 123:
                    p = push_key(m, p, end, n)
                    if p < 0:
                        return zero, zero, -p
                    n += 2
                continue
        elif c == 45 or 48 <= c <= 57:
            a, w, p = parse_number(mem, p, end)
            if p < 0:
                return zero, zero, -p
        elif c == 116 and half(mem, p) == TRUE:
            p += 4
            a = np.int64(1)
            w = np.int64(BOOL)
        elif c == 102 and half(mem, p + 1) == ALSE:
            p += 5
            a = np.int64(0)
            w = np.int64(BOOL)
        elif c == 110 and half(mem, p) == NULL:
            p += 4
            a = np.int64(0)
            w = np.int64(NONE)
        else:
            return zero, zero, TO_JINJA
        # what follows a value: the end, a comma, or the end of what it is in
        while True:
            p = after_blank(mem, p, end)
            if depth == 0:
                return a, w, (GOING_ON if p == end else TO_JINJA)
            put_item64(stack, n, a)
            put_item64(stack, n + 1, w)
            n += 2
            if p >= end:
                return zero, zero, TO_JINJA
            c = byte(mem, p)
            frame = item64(stack, frames - depth + 1)
            p += 1
            if c == 44:
                if frame & 1:
                    p = push_key(m, after_blank(mem, p, end), end, n)
                    if p < 0:
                        return zero, zero, -p
                    n += 2
                break
            if c != (125 if frame & 1 else 93):
                return zero, zero, TO_JINJA
            depth -= 1
            base = frame >> 1
            a, w = close_object(m, base, n) if frame & 1 else close_list(m, base, n)
            if w < 0:
                return zero, zero, -w
            n = base
