"""Values written to the output as str() spells them. Functions return an Outcome."""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import byte, copy, item64, put_byte, put_half, put_item64
from forge_gpu.kernels.cpu.vm_machine import (
    GOING_ON,
    MORE_OUTPUT,
    MORE_TABLES,
    MORE_TEXT,
    TO_JINJA,
    TYPE_MASK,
    bit_at,
    buffer_at,
    burn,
    cells,
    code_point,
    has_output_room,
    has_text_room,
    memory,
    put2,
)
from forge_gpu.kernels.vm_layout import (
    BIGINT,
    DICT,
    FLOAT,
    INT,
    LIST,
    MAX_STRUCTURE,
    NONE,
    SAFE,
    TEXT,
    TUPLE,
    TYPE_BITS,
    UNDEFINED,
    Word,
)

LONGEST_INT = 24
TRUE, ALSE, NONE_WORD = (np.uint64(int.from_bytes(text, "little")) for text in (b"True", b"alse", b"None"))


@inner
def output(m):
    return buffer_at(m, Word.OUTPUT)


@inner
def write_bytes(m, start, length):
    """The bytes of a text as they are."""
    if not has_output_room(m, length):
        return MORE_OUTPUT
    at = item64(m, Word.POSITION)
    copy(output(m), at, memory(m), start, length)
    put_item64(m, Word.POSITION, at + length)
    return GOING_ON


@inner
def put_int(out, at, value):
    """The place after a number that is put at `at`, as Python spells it."""
    if value < 0:
        put_byte(out, at, 45)
        at += 1
        value = -value
    size = 1
    rest = value
    while rest >= 10:
        rest //= 10
        size += 1
    for k in range(size):
        put_byte(out, at + size - 1 - k, 48 + value % 10)
        value //= 10
    return at + size


@inner
def put_name(out, at, a, kind):
    """The place after True, False or None, put at `at`."""
    if kind == NONE or a:
        put_half(out, at, NONE_WORD if kind == NONE else TRUE)
        return at + 4
    put_byte(out, at, 70)
    put_half(out, at + 1, ALSE)
    return at + 5


@inner
def write_simple(m, a, w):
    """str() of a value that is no structure."""
    kind = w & TYPE_MASK
    if kind == TEXT or kind == SAFE or kind == BIGINT or kind == FLOAT:
        return write_bytes(m, a, w >> TYPE_BITS)
    if kind == UNDEFINED:
        return GOING_ON
    if kind > INT:
        return TO_JINJA
    if not has_output_room(m, LONGEST_INT):
        return MORE_OUTPUT
    out, at = output(m), item64(m, Word.POSITION)
    put_item64(m, Word.POSITION, put_int(out, at, a) if kind == INT else put_name(out, at, a, kind))
    return GOING_ON


@inner
def printable(m, code):
    """str.isprintable of a code point, by the tables that the host has made."""
    return bit_at(buffer_at(m, Word.TABLES), code)


@inner
def put_hexadecimal(out, at, value, digits):
    """The place after the lowest `digits` digits of a number."""
    for k in range(digits):
        digit = value >> (4 * (digits - 1 - k)) & 15
        put_byte(out, at + k, 48 + digit if digit < 10 else 87 + digit)
    return at + digits


@inner
def put_repr_character(m, out, at, code, start, size, quote):
    """The place after a character as repr() spells it in a text, inside a JSON string."""
    if code == 92:
        put2(out, at, 92, 92)
        put2(out, at + 2, 92, 92)
        return at + 4
    if code == 34:
        put2(out, at, 92, 34)
        return at + 2
    if code == quote or code == 10 or code == 13 or code == 9:
        put2(out, at, 92, 92)
        put_byte(out, at + 2, 39 if code == quote else 110 if code == 10 else 114 if code == 13 else 116)
        return at + 3
    if printable(m, code):
        for k in range(size):
            put_byte(out, at + k, byte(memory(m), start + k))
        return at + size
    put2(out, at, 92, 92)
    digits = 2 if code < 0x100 else 4 if code < 0x10000 else 8
    put_byte(out, at + 2, 120 if digits == 2 else 117 if digits == 4 else 85)
    return put_hexadecimal(out, at + 3, code, digits)


@inner
def write_repr(m, start, length):
    """repr() of a text."""
    if item64(m, Word.TABLES + 1) == 0:
        return MORE_TABLES
    if not has_output_room(
        m, 6 * length + 8
    ):  # a control character of six bytes is the longest: \\x1f; \u0085: 5 of 2
        return MORE_OUTPUT
    mem, out = memory(m), output(m)
    single, double = False, False
    p, end = start, start + length
    while p < end:
        c = byte(mem, p)
        single |= c == 39
        double |= c == 34
        p += 1
    quote = 34 if single and not double else 39
    at = item64(m, Word.POSITION)
    for side in range(2):
        if quote == 34:
            put2(out, at, 92, 34)
            at += 2
        else:
            put_byte(out, at, 39)
            at += 1
        p = start if side == 0 else end
        while p < end:
            code, size = code_point(mem, p)
            at = put_repr_character(m, out, at, code, p, size, 39 if quote == 39 else -1)
            p += size
    put_item64(m, Word.POSITION, at)
    return GOING_ON


@inner
def write_scalar_repr(m, a, w):
    """repr() of a value that is no structure."""
    kind = w & TYPE_MASK
    if kind == TEXT:
        return write_repr(m, a, w >> TYPE_BITS)
    return TO_JINJA if kind == SAFE or kind == UNDEFINED else write_simple(m, a, w)


@inner
def write_structure(m, a, w):
    """str() of a list, tuple or dict. The stack holds, for each open one, its next cell, end and word."""
    stack, buffer = buffer_at(m, Word.STACK), cells(m)
    room = min((stack[1] >> 3) // 3 - 2, MAX_STRUCTURE)
    depth = 0
    out = output(m)
    while True:
        kind, count = w & TYPE_MASK, w >> TYPE_BITS
        opened = False
        if kind == LIST or kind == TUPLE or kind == DICT:
            if depth >= room or not burn(m, 1):
                return TO_JINJA
            if not has_output_room(m, 8):
                return MORE_OUTPUT
            put_byte(out, item64(m, Word.POSITION), 91 if kind == LIST else 40 if kind == TUPLE else 123)
            put_item64(m, Word.POSITION, item64(m, Word.POSITION) + 1)
            put_item64(stack, 3 * depth, a)
            put_item64(stack, 3 * depth + 1, a + count * (2 if kind == DICT else 1))
            put_item64(stack, 3 * depth + 2, w)
            depth += 1
            opened = True
        else:
            outcome = write_scalar_repr(m, a, w)
            if outcome != GOING_ON:
                return outcome
        while True:  # on to the next value
            if depth == 0:
                return GOING_ON
            if not has_output_room(m, 8):
                return MORE_OUTPUT
            at = item64(m, Word.POSITION)
            cell, last = item64(stack, 3 * depth - 3), item64(stack, 3 * depth - 2)
            within = item64(stack, 3 * depth - 1)
            kind = within & TYPE_MASK
            if cell == last:
                if kind == TUPLE and within >> TYPE_BITS == 1:
                    put_byte(out, at, 44)
                    at += 1
                put_byte(out, at, 93 if kind == LIST else 41 if kind == TUPLE else 125)
                put_item64(m, Word.POSITION, at + 1)
                depth -= 1
                opened = False
                continue
            if not opened:
                put2(out, at, 44, 32)
                put_item64(m, Word.POSITION, at + 2)
            if kind == DICT:
                outcome = write_scalar_repr(m, item64(buffer, 2 * cell), item64(buffer, 2 * cell + 1))
                if outcome != GOING_ON:
                    return outcome
                if not has_output_room(m, 8):
                    return MORE_OUTPUT
                at = item64(m, Word.POSITION)
                put2(out, at, 58, 32)
                put_item64(m, Word.POSITION, at + 2)
                cell += 1
            put_item64(stack, 3 * depth - 3, cell + 1)
            a, w = item64(buffer, 2 * cell), item64(buffer, 2 * cell + 1)
            break


@inner
def write_value(m, a, w):
    """str() of a value."""
    kind = w & TYPE_MASK
    if kind == LIST or kind == TUPLE or kind == DICT:
        return write_structure(m, a, w)
    return write_simple(m, a, w)


@inner
def take_back(m, begin):
    """What was written since `begin` becomes a text, and the output ends there again: (start, length); length
    -Outcome: no room."""
    length = item64(m, Word.POSITION) - begin
    if not has_text_room(m, length):
        return np.int64(0), np.int64(-MORE_TEXT)
    start = item64(m, Word.TEXT)
    copy(memory(m), start, output(m), begin, length)
    put_item64(m, Word.TEXT, start + length)
    put_item64(m, Word.POSITION, begin)
    return start, length


@inner
def as_text(m, a, w):
    """str() of a value as a text: (start, word); word -Outcome: not made."""
    if w & TYPE_MASK == TEXT or w & TYPE_MASK == SAFE:
        return a, w
    begin = item64(m, Word.POSITION)
    outcome = write_value(m, a, w)
    if outcome != GOING_ON:
        return np.int64(0), np.int64(-outcome)
    start, length = take_back(m, begin)
    return start, (length << TYPE_BITS | TEXT) if length >= 0 else length
