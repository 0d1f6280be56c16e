"""What Python's str methods do, on bodies of JSON strings.

Functions that make texts put them behind the texts that there are and return an Outcome.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import (
    BLOCK,
    byte,
    item64,
    mask_backslash,
    mask_not_ascii,
    put_byte,
    put_item64,
)
from forge_gpu.kernels.cpu.vm_find import find_text
from forge_gpu.kernels.cpu.vm_machine import (
    GOING_ON,
    MORE_CELLS,
    MORE_TABLES,
    MORE_TEXT,
    TO_JINJA,
    TYPE_MASK,
    bit_at,
    buffer_at,
    burn,
    code_point,
    copy_text,
    four_digits,
    has_cells,
    has_text_room,
    memory,
    same_bytes,
    set_cell,
    set_text,
    take_cells,
    unit,
    value_of,
)
from forge_gpu.kernels.cpu.vm_values import WORD_OF_FUEL
from forge_gpu.kernels.vm_layout import LIST, TEXT, TYPE_BITS, Word
from forge_gpu.kernels.vm_tables import CASELESS, CASES, LAST_CASED, TWO_BYTES

NO_TABLES = np.int64(-2)
FROM_THE_END = 64
"""Characters that are taken off one by one: what a character is, backslashes far before it may decide."""


@inner
def characters(mem, start, length):
    """len() of a text."""
    p, end = start, start + length
    count = 0
    while p < end:
        if p + BLOCK <= end and mask_backslash(mem, p) == 0 and mask_not_ascii(mem, p) == 0:
            p += BLOCK
            count += BLOCK
            continue
        stop = min(p + BLOCK, end)
        while p < stop:
            p += unit(mem, p)
            count += 1
    return count


@inner
def after_characters(mem, start, end, count):
    """The place of character `count` of the text in [start, end), `end` if it has not so many."""
    p = start
    while count > 0 and p < end:
        if (
            count >= BLOCK
            and p + BLOCK <= end
            and mask_backslash(mem, p) == 0
            and mask_not_ascii(mem, p) == 0
        ):
            p += BLOCK
            count -= BLOCK
            continue
        p += unit(mem, p)
        count -= 1
    return min(p, end)


@inner
def blank_at(mem, p):
    """Bytes of the white space at p, as str.isspace has it; 0 where there is none."""
    c = byte(mem, p)
    if c == 32:
        return 1
    if c == 92:
        c = byte(mem, p + 1)
        if c == 110 or c == 116 or c == 114 or c == 102:
            return 2
        if c == 117:
            value = four_digits(mem, p + 2)
            return 6 if value == 11 or 28 <= value <= 31 else 0
        return 0
    if c == 0xC2:
        c = byte(mem, p + 1)
        return 2 if c == 0x85 or c == 0xA0 else 0
    if 0xE1 <= c <= 0xE3:
        value = (c & 15) << 12 | (byte(mem, p + 1) & 63) << 6 | byte(mem, p + 2) & 63
        if value in (0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000) or 0x2000 <= value <= 0x200A:
            return 3
    return 0


@inner
def in_set(mem, p, size, text, length):
    """Is the character at p (`size` bytes) one of a text's?"""
    q, end = text, text + length
    while q < end:
        other = unit(mem, q)
        if other == size and same_bytes(mem, q, p, size):
            return True
        q += other
    return False


@inner
def escape_begins(mem, p, start):
    """Is the backslash at p the first byte of an escape, in a text from `start` on?"""
    q = p
    while q > start and byte(mem, q - 1) == 92:
        q -= 1
    return (p - q) & 1 == 0


@inner
def blank_before(mem, p, start):
    """Bytes of the white space that ends before p, in a text from `start` on."""
    c = byte(mem, p - 1)
    if c == 32:
        return 1
    if c >= 0x80:
        if p - start >= 2 and byte(mem, p - 2) == 0xC2:
            return blank_at(mem, p - 2)
        return blank_at(mem, p - 3) if p - start >= 3 and byte(mem, p - 3) >= 0xE1 else 0
    if p - start >= 2 and byte(mem, p - 2) == 92 and escape_begins(mem, p - 2, start):
        return blank_at(mem, p - 2)
    long = p - start >= 6 and byte(mem, p - 6) == 92 and byte(mem, p - 5) == 117
    return blank_at(mem, p - 6) if long and escape_begins(mem, p - 6, start) else 0


@inner
def unit_before(mem, p, start):
    """Bytes of the character that ends before p, in a text from `start` on."""
    c = byte(mem, p - 1)
    if c >= 0x80:
        q = p - 1
        while q > start and byte(mem, q) & 0xC0 == 0x80:
            q -= 1
        return p - q
    if p - start >= 2 and byte(mem, p - 2) == 92 and escape_begins(mem, p - 2, start):
        return 2
    long = p - start >= 6 and byte(mem, p - 6) == 92 and byte(mem, p - 5) == 117
    return 6 if long and escape_begins(mem, p - 6, start) else 1


@inner
def strip(mem, start, length, sides, text, size):
    """(start, length) without white space (size -1), or the characters of a text, on the sides 1 and 2."""
    p, end = start, start + length
    if sides & 1:
        while p < end:
            step = unit(mem, p) if size >= 0 else blank_at(mem, p)
            if step == 0 or (size >= 0 and not in_set(mem, p, step, text, size)):
                break
            p += step
    if sides & 2 and size < 0:
        while p < end:
            step = blank_before(mem, end, p)
            if step == 0:
                break
            end -= step
    elif sides & 2:
        for _ in range(FROM_THE_END):
            step = unit_before(mem, end, p) if p < end else 0
            if step == 0 or not in_set(mem, end - step, step, text, size):
                return p, end - p
            end -= step
        q, last = p, p
        while q < end:
            step = unit(mem, q)
            if not in_set(mem, q, step, text, size):
                last = q + step
            q += step
        end = last
    return p, end - p


@inner
def starts_with(mem, start, length, text, size):
    return length >= size and same_bytes(mem, start, text, size)


@inner
def ends_with(mem, start, length, text, size):
    """The end must be a character's beginning: not the n of a backslash and an n."""
    at = start + length - size
    if length < size or not same_bytes(mem, at, text, size):
        return False
    if size == 0 or at == start:
        return True
    # an odd number of backslashes before it: its first byte belongs to an escape; or it ends a \u00xx
    q = at
    while q > start and byte(mem, q - 1) == 92:
        q -= 1
    if (at - q) & 1:
        return False
    for back in range(2, 6):
        long = at - back >= start and byte(mem, at - back) == 92 and byte(mem, at - back + 1) == 117
        if long and escape_begins(mem, at - back, start):
            return False
    return True


@inner
def replace(m, target, one, old, new):
    """target = one.replace(old, new), of cells."""
    mem = memory(m)
    a, w = value_of(m, one)
    x, y = value_of(m, old)
    b, v = value_of(m, new)
    if w & TYPE_MASK != TEXT or y & TYPE_MASK != TEXT or v & TYPE_MASK != TEXT or y >> TYPE_BITS == 0:
        return TO_JINJA
    size, other = y >> TYPE_BITS, v >> TYPE_BITS
    p, end = a, a + (w >> TYPE_BITS)
    burn(m, (end - p) // WORD_OF_FUEL)
    start = item64(m, Word.TEXT)
    while True:
        at = find_text(mem, p, end - p, x, size)
        stop = end if at < 0 else at
        if not has_text_room(m, stop - p + other):
            return MORE_TEXT
        if at < 0 and p == a:  # nothing to replace: the text itself
            set_cell(m, target, a, w)
            return GOING_ON
        copy_text(m, p, stop - p)
        if at < 0:
            break
        copy_text(m, b, other)
        p = at + size
    set_text(m, target, start, item64(m, Word.TEXT) - start)
    return GOING_ON


@inner
def push_piece(m, first, count, start, end):
    set_text(m, first + count, start, end - start)
    return count + 1


@inner
def split(m, target, a, w, x, size, most):
    """target = the pieces of a text between those at x (`size` bytes), or at white space (size -1); it is cut
    at most `most` times, always for -1."""
    mem = memory(m)
    if size == 0:
        return TO_JINJA
    first = item64(m, Word.TOP)
    count = np.int64(0)
    p, end = a, a + (w >> TYPE_BITS)
    burn(m, (end - p) // WORD_OF_FUEL)
    if size < 0:
        p, length = strip(mem, p, end - p, 1, 0, -1)
        end = p + length
        if most >= 0:
            return TO_JINJA
    begin = p
    while p < end or size >= 0:
        if not has_cells(m, count + 2):
            return MORE_CELLS
        if size >= 0:
            at = find_text(mem, p, end - p, x, size) if most < 0 or count < most else np.int64(-1)
            if at < 0:
                count = push_piece(m, first, count, p, end)
                break
            count = push_piece(m, first, count, p, at)
            p = at + size
            continue
        if blank_at(mem, p) == 0:
            p += unit(mem, p)
            if p >= end:
                count = push_piece(m, first, count, begin, end)
            continue
        count = push_piece(m, first, count, begin, p)
        while p < end and blank_at(mem, p):
            p += blank_at(mem, p)
        begin = p
    burn(m, count)
    take_cells(m, count)
    set_cell(m, target, first, count << TYPE_BITS | LIST)
    return GOING_ON


@inner
def other_case(m, code, upper):
    """A code point that is not ASCII in lower or upper case, of as many bytes of UTF-8; -1 where that is not
    known, NO_TABLES."""
    tables = buffer_at(m, Word.TABLES)
    if tables[1] == 0:
        return NO_TABLES
    if code < TWO_BYTES:
        at = CASES + 4 * code + 2 * int(upper)
        changed = byte(tables, at) | byte(tables, at + 1) << 8
        return changed if changed else np.int64(-1)
    if code < LAST_CASED and bit_at(tables, 8 * CASELESS + code):
        return np.int64(code)
    return np.int64(-1)


@inner
def change_case(m, target, a, w, how):
    """target = a text in lower case (0), upper case (1), capitalized (2), or with each word capitalized: as
    jinja's filter cuts words (3), or as str.title does (4; ASCII only). What the tables do not know is
    Jinja's."""
    mem = memory(m)
    length = w >> TYPE_BITS
    if not has_text_room(m, length):
        return MORE_TEXT
    start = item64(m, Word.TEXT)
    begins = True
    k = np.int64(0)
    while k < length:
        c = byte(mem, a + k)
        if c >= 0x80:
            code, size = code_point(mem, a + k)
            code = other_case(m, code, how == 1 or (how >= 2 and begins))
            if code < 0 or how == 4:
                return MORE_TABLES if code == NO_TABLES else TO_JINJA
            breaks = how == 3 and blank_at(mem, a + k) > 0
            for z in range(size):
                put_byte(mem, start + k + z, byte(mem, a + k + z))
            if size == 2:
                put_byte(mem, start + k, 0xC0 | code >> 6)
                put_byte(mem, start + k + 1, 0x80 | (code & 63))
            k += size
        elif c == 92:
            size = unit(mem, a + k)
            breaks = how == 4 or (how == 3 and blank_at(mem, a + k) > 0)
            for z in range(size):
                put_byte(mem, start + k + z, byte(mem, a + k + z))
            k += size
        else:
            upper = how == 1 or (how >= 2 and begins)
            letter = 65 <= c <= 90 or 97 <= c <= 122
            breaks = (how == 4 and not letter) or (how == 3 and (c == 32 or c in (40, 45, 60, 91, 123)))
            if upper and 97 <= c <= 122:
                c -= 32
            elif not upper and 65 <= c <= 90:
                c += 32
            put_byte(mem, start + k, c)
            k += 1
        begins = breaks
    put_item64(m, Word.TEXT, start + length)
    set_cell(m, target, start, length << TYPE_BITS | w & TYPE_MASK)
    return GOING_ON


@inner
def characters_of(m, a, w):
    """The characters of a text as a list: (first cell, how many); how many -Outcome: no room."""
    mem = memory(m)
    count = characters(mem, a, w >> TYPE_BITS)
    if not has_cells(m, count):
        return np.int64(0), np.int64(-MORE_CELLS)
    burn(m, count)
    first = take_cells(m, count)
    p = a
    for k in range(count):
        size = unit(mem, p)
        set_text(m, first + k, p, size)
        p += size
    return first, count
