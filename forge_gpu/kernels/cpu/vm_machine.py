"""The machine's state and its cells, for the other vm_ files: everything that they touch goes through here.

`m` is the buffer of the state words (vm_layout.Word). Places in texts are relative to the buffer of all
memory, which begins at address 0 where texts lie wherever they came from; in checked mode the host puts all
of them into one buffer, and every access is compared with its bounds.

Texts can be read, and the output written, `PADDING` bytes past their ends: the host sees to it.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import (
    BUFFER,
    I64,
    byte,
    copy,
    int64_of,
    item64,
    place,
    put_byte,
    put_item64,
    word,
)
from forge_gpu.kernels.layout import PADDING
from forge_gpu.kernels.lowering import intrinsic, types
from forge_gpu.kernels.vm_layout import INT, NONE, TEXT, TYPE_BITS, UNDEFINED, Outcome, Word

TYPE_MASK = (1 << TYPE_BITS) - 1
GOING_ON, TO_JINJA = int(Outcome.GOING_ON), int(Outcome.TO_JINJA)
MORE_OUTPUT, MORE_TEXT = int(Outcome.MORE_OUTPUT), int(Outcome.MORE_TEXT)
MORE_CELLS, MORE_STACK = int(Outcome.MORE_CELLS), int(Outcome.MORE_STACK)
MORE_TABLES = int(Outcome.MORE_TABLES)


@intrinsic
def buffer_at(typing_context, m, which):
    """The buffer whose address and size are the words `which` and `which + 1`."""

    def generate(context, builder, signature, arguments):
        return context.make_tuple(builder, BUFFER, _two_items(context, builder, *arguments))

    return BUFFER(BUFFER, types.int64), generate


def _two_items(context, builder, buffer, first):
    """Code that reads the int64 items `first` and `first + 1`."""
    items = (first, builder.add(first, int64_of(1)))
    size = int64_of(8)
    places = [place(context, builder, buffer, builder.mul(item, size), size, I64) for item in items]
    return [builder.load(item, align=8) for item in places]


def _cells(context, builder, m):
    return context.make_tuple(builder, BUFFER, _two_items(context, builder, m, int64_of(int(Word.CELLS))))


@inner
def memory(m):
    return buffer_at(m, Word.MEMORY)


@inner
def cells(m):
    return buffer_at(m, Word.CELLS)


@intrinsic
def value_of(typing_context, m, cell):
    """(a, word) of a cell."""

    def generate(context, builder, signature, arguments):
        m, cell = arguments
        first = builder.mul(cell, int64_of(2))
        words = _two_items(context, builder, _cells(context, builder, m), first)
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(types.int64, 2)(BUFFER, types.int64), generate


@intrinsic
def set_cell(typing_context, m, cell, a, w):
    """A cell = (a, word)."""

    def generate(context, builder, signature, arguments):
        m, cell, *words = arguments
        cells = _cells(context, builder, m)
        for k, value in enumerate(words):
            at = builder.mul(builder.add(builder.mul(cell, int64_of(2)), int64_of(k)), int64_of(8))
            builder.store(value, place(context, builder, cells, at, int64_of(8), I64), align=8)
        return context.get_dummy_value()

    return types.void(BUFFER, types.int64, types.int64, types.int64), generate


@inner
def move_cells(m, target, source, count):
    """`count` cells from `source` on to `target` on, in order from the first."""
    buffer = cells(m)
    for k in range(2 * count):
        put_item64(buffer, 2 * target + k, item64(buffer, 2 * source + k))


@inner
def set_text(m, cell, start, length):
    set_cell(m, cell, start, length << TYPE_BITS | TEXT)


@inner
def set_int(m, cell, value):
    set_cell(m, cell, value, np.int64(INT))


@inner
def set_undefined(m, cell):
    set_cell(m, cell, np.int64(0), np.int64(UNDEFINED))


@inner
def set_none(m, cell):
    set_cell(m, cell, np.int64(0), np.int64(NONE))


@inner
def has_cells(m, count):
    """Is there room for so many more cells?"""
    return 16 * (item64(m, Word.TOP) + count) <= item64(m, Word.CELLS + 1)


@inner
def take_cells(m, count):
    """The first of `count` cells that are taken; there is room for them."""
    top = item64(m, Word.TOP)
    put_item64(m, Word.TOP, top + count)
    return top


@inner
def has_text_room(m, count):
    return item64(m, Word.TEXT) + count <= item64(m, Word.TEXT_END)


@inner
def has_output_room(m, count):
    return item64(m, Word.POSITION) + count + PADDING <= item64(m, Word.OUTPUT + 1)


@inner
def copy_text(m, start, length):
    """Put a copy of a text at the end of the texts; there is room for it."""
    end = item64(m, Word.TEXT)
    copy(memory(m), end, memory(m), start, length)
    put_item64(m, Word.TEXT, end + length)


@inner
def burn(m, steps):
    """Take steps from the fuel; False where it is used up."""
    fuel = item64(m, Word.FUEL) - steps
    put_item64(m, Word.FUEL, fuel)
    return fuel >= 0


@inner
def same_bytes(buffer, i, j, count):
    """Are the bytes at i and j the same? Up to 7 bytes are read past their ends."""
    while count >= 8:
        if word(buffer, i) != word(buffer, j):
            return False
        i += 8
        j += 8
        count -= 8
    if count == 0:
        return True
    return (word(buffer, i) ^ word(buffer, j)) << np.uint64(64 - 8 * count) == np.uint64(0)


@inner
def put2(buffer, i, one, two):
    put_byte(buffer, i, one)
    put_byte(buffer, i + 1, two)


@inner
def unit(buffer, p):
    """Bytes of the character at p of a body."""
    c = byte(buffer, p)
    if c == 92:
        return 6 if byte(buffer, p + 1) == 117 else 2
    if c < 0xC0:
        return 1
    return 2 if c < 0xE0 else 3 if c < 0xF0 else 4


@inner
def bit_at(buffer, k):
    """Bit k of a table, the highest of a byte first."""
    return byte(buffer, k >> 3) >> (7 - (k & 7)) & 1


@inner
def hexadecimal(c):
    """The value of a hexadecimal digit, -1 for another byte."""
    if 48 <= c <= 57:
        return c - 48
    if 97 <= c <= 102:
        return c - 87
    if 65 <= c <= 70:
        return c - 55
    return -1


@inner
def four_digits(buffer, p):
    """The value of four hexadecimal digits, -1 where they are none."""
    value = 0
    for k in range(4):
        digit = hexadecimal(byte(buffer, p + k))
        if digit < 0:
            return -1
        value = value * 16 + digit
    return value


@inner
def unescaped(c):
    """The character that a backslash and `c`, which is not u, stand for."""
    if c == 110:
        return 10
    if c == 116:
        return 9
    if c == 114:
        return 13
    if c == 98:
        return 8
    if c == 102:
        return 12
    return c


@inner
def code_point(buffer, p):
    """(the code point of the character at p of a body, its bytes)."""
    c = byte(buffer, p)
    if c == 92:
        c = byte(buffer, p + 1)
        if c == 117:
            return four_digits(buffer, p + 2), 6
        return unescaped(c), 2
    if c < 0xC0:
        return c, 1
    one = byte(buffer, p + 1) & 63
    if c < 0xE0:
        return (c & 31) << 6 | one, 2
    two = byte(buffer, p + 2) & 63
    if c < 0xF0:
        return (c & 15) << 12 | one << 6 | two, 3
    return (c & 7) << 18 | one << 12 | two << 6 | byte(buffer, p + 3) & 63, 4
