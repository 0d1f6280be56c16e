"""`tojson`: values written to the output as json.dumps spells them, inside a JSON string."""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import (
    BLOCK,
    byte,
    copy_block,
    item64,
    mask_json_special,
    put_byte,
    put_half,
    put_item64,
    trailing_zeros,
)
from forge_gpu.kernels.cpu.vm_machine import (
    GOING_ON,
    MORE_CELLS,
    MORE_OUTPUT,
    TO_JINJA,
    TYPE_MASK,
    buffer_at,
    burn,
    cells,
    code_point,
    has_cells,
    has_output_room,
    memory,
    move_cells,
    put2,
    take_cells,
)
from forge_gpu.kernels.cpu.vm_values import order
from forge_gpu.kernels.cpu.vm_write import LONGEST_INT, output, put_hexadecimal, put_int, write_bytes
from forge_gpu.kernels.vm_layout import (
    BIGINT,
    BOOL,
    DICT,
    FLOAT,
    INT,
    JSON_ASCII,
    JSON_SORTED,
    JSON_TIGHT_COLON,
    JSON_TIGHT_COMMA,
    LIST,
    MAX_STRUCTURE,
    NONE,
    SAFE,
    TEXT,
    TUPLE,
    TYPE_BITS,
    Word,
)

TRUE, ALSE, NULL = (np.uint64(int.from_bytes(text, "little")) for text in (b"true", b"alse", b"null"))


@inner
def write_string(m, start, length):
    r"""A text as a JSON string inside a JSON string: \" and a backslash before each quote and backslash."""
    if not has_output_room(m, 2 * length + 4 + BLOCK):
        return MORE_OUTPUT
    mem, out = memory(m), output(m)
    at = item64(m, Word.POSITION)
    put2(out, at, 92, 34)
    at += 2
    p, end = start, start + length
    while p < end:
        copy_block(out, at, mem, p)
        mask = mask_json_special(mem, p)
        size = BLOCK if mask == 0 else trailing_zeros(mask)
        if p + size >= end:
            at += end - p
            break
        p += size
        at += size
        if mask != 0:
            put2(out, at, 92, byte(mem, p))
            at += 2
            p += 1
    put2(out, at, 92, 34)
    put_item64(m, Word.POSITION, at + 2)
    return GOING_ON


@inner
def put_utf16(out, at, unit):
    r"""The place after \\uxxxx."""
    put2(out, at, 92, 92)
    put_byte(out, at + 2, 117)
    return put_hexadecimal(out, at + 3, unit, 4)


@inner
def write_ascii_string(m, start, length):
    """As `write_string`, with ensure_ascii."""
    if not has_output_room(m, 7 * length + 4):
        return MORE_OUTPUT
    mem, out = memory(m), output(m)
    at = item64(m, Word.POSITION)
    put2(out, at, 92, 34)
    at += 2
    p, end = start, start + length
    while p < end:
        c = byte(mem, p)
        if c < 0x7F:  # json.dumps escapes DEL too
            if c == 34 or c == 92:
                put_byte(out, at, 92)
                at += 1
            put_byte(out, at, c)
            at += 1
            p += 1
            continue
        code, size = code_point(mem, p)
        if code >= 0x10000:
            at = put_utf16(out, at, 0xD800 + ((code - 0x10000) >> 10))
            code = 0xDC00 + ((code - 0x10000) & 0x3FF)
        at = put_utf16(out, at, code)
        p += size
    put2(out, at, 92, 34)
    put_item64(m, Word.POSITION, at + 2)
    return GOING_ON


@inner
def write_scalar(m, a, w, flags):
    kind = w & TYPE_MASK
    if kind == TEXT or kind == SAFE:
        if flags & JSON_ASCII:
            return write_ascii_string(m, a, w >> TYPE_BITS)
        return write_string(m, a, w >> TYPE_BITS)
    if kind == BIGINT or kind == FLOAT:
        return write_bytes(m, a, w >> TYPE_BITS)
    if kind != INT and kind != BOOL and kind != NONE:
        return TO_JINJA
    if not has_output_room(m, LONGEST_INT):
        return MORE_OUTPUT
    out, at = output(m), item64(m, Word.POSITION)
    if kind == INT:
        at = put_int(out, at, a)
    elif kind == BOOL and not a:
        put_byte(out, at, 102)
        put_half(out, at + 1, ALSE)
        at += 5
    else:
        put_half(out, at, NULL if kind == NONE else TRUE)
        at += 4
    put_item64(m, Word.POSITION, at)
    return GOING_ON


@inner
def put_line_break(out, at, blanks):
    put2(out, at, 92, 110)
    for k in range(blanks):
        put_byte(out, at + 2 + k, 32)
    return at + 2 + blanks


@inner
def sorted_pairs(m, a, count):
    """The pairs of a dict in the order of their keys, in cells of their own: the first, or -Outcome."""
    if not has_cells(m, 2 * count):
        return np.int64(-MORE_CELLS)
    first = take_cells(m, 2 * count)
    buffer = cells(m)
    if not burn(m, count * count // 16):
        return np.int64(-TO_JINJA)
    for k in range(count):
        start, key = item64(buffer, 2 * (a + 2 * k)), item64(buffer, 2 * (a + 2 * k) + 1)
        at = first + 2 * k
        while at > first:
            before = 2 * (at - 2)
            if order(m, item64(buffer, before), item64(buffer, before + 1), start, key, False) <= 0:
                break
            move_cells(m, at, at - 2, 2)
            at -= 2
        move_cells(m, at, a + 2 * k, 2)
    return first


@inner
def write_json(m, a, w, indent, flags):
    """A value as json.dumps writes it: `indent` blanks a level, -1: in one line; flags: vm_layout.JSON_...

    The stack holds, for each open structure, its next cell, its end and its type.
    """
    stack, buffer, out = buffer_at(m, Word.STACK), cells(m), output(m)
    room = min((stack[1] >> 3) // 3 - 2, MAX_STRUCTURE)
    comma = 1 if flags & JSON_TIGHT_COMMA else 2
    colon = 1 if flags & JSON_TIGHT_COLON else 2
    depth = 0
    while True:
        kind, count = w & TYPE_MASK, w >> TYPE_BITS
        opened = False
        if kind == LIST or kind == TUPLE or kind == DICT:
            if depth >= room or not burn(m, 1):
                return TO_JINJA
            if not has_output_room(m, 8):
                return MORE_OUTPUT
            at = item64(m, Word.POSITION)
            put_byte(out, at, 123 if kind == DICT else 91)
            if count == 0:
                put_byte(out, at + 1, 125 if kind == DICT else 93)
                put_item64(m, Word.POSITION, at + 2)
            else:
                put_item64(m, Word.POSITION, at + 1)
                if kind == DICT and flags & JSON_SORTED:
                    a = sorted_pairs(m, a, count)
                    if a < 0:
                        return -a
                put_item64(stack, 3 * depth, a)
                put_item64(stack, 3 * depth + 1, a + count * (2 if kind == DICT else 1))
                put_item64(stack, 3 * depth + 2, kind)
                depth += 1
                opened = True
        else:
            outcome = write_scalar(m, a, w, flags)
            if outcome != GOING_ON:
                return outcome
        while True:  # on to the next value
            if depth == 0:
                return GOING_ON
            if not has_output_room(m, max(indent, 0) * depth + 16):
                return MORE_OUTPUT
            at = item64(m, Word.POSITION)
            cell, kind = item64(stack, 3 * depth - 3), item64(stack, 3 * depth - 1)
            if cell == item64(stack, 3 * depth - 2):
                depth -= 1
                if indent >= 0:
                    at = put_line_break(out, at, indent * depth)
                put_byte(out, at, 125 if kind == DICT else 93)
                put_item64(m, Word.POSITION, at + 1)
                opened = False
                continue
            if not opened:
                put2(out, at, 44, 32)
                at += comma
            if indent >= 0:
                at = put_line_break(out, at, indent * depth)
            put_item64(m, Word.POSITION, at)
            if kind == DICT:
                outcome = write_scalar(m, item64(buffer, 2 * cell), item64(buffer, 2 * cell + 1), flags)
                if outcome != GOING_ON:
                    return outcome
                if not has_output_room(m, 8):
                    return MORE_OUTPUT
                at = item64(m, Word.POSITION)
                put2(out, at, 58, 32)
                put_item64(m, Word.POSITION, at + colon)
                cell += 1
            put_item64(stack, 3 * depth - 3, cell + 1)
            a, w = item64(buffer, 2 * cell), item64(buffer, 2 * cell + 1)
            break
