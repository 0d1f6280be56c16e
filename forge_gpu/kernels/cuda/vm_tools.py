"""What is the same for many rows (see `cpu/vm_cache.py`), on a device: a record of each value of `tools`.

The CPU's machine keeps values as it meets them. Here one row of each value goes first and leaves a record:
the cells of the value and the texts of the statements that depend on it alone. The rows after it only read:
they move the cells to their own, and write the texts. A row whose `tools` are other bytes than those of its
record parses them itself.

A record, in words: the header (Record), two words (place, length) for each statement, and the cells.
"""

from enum import IntEnum

import numpy as np

from forge_gpu.kernels.cpu import vm_machine, vm_parse, vm_write
from forge_gpu.kernels.cpu.vm_cache import STATEMENTS, Kept
from forge_gpu.kernels.cuda import vm_memory
from forge_gpu.kernels.cuda.buffers import item32, item64, put_item64, trailing_zeros
from forge_gpu.kernels.cuda.device import function
from forge_gpu.kernels.cuda.ported import Ported
from forge_gpu.kernels.cuda.vm_memory import buffer_at, copy
from forge_gpu.kernels.vm_layout import DICT, LIST, Outcome, Word

DEEPEST = 32
"""Nesting of JSON, and calls of macros within each other: rows that go deeper are the CPU's."""

OF_MEMORY = (
    "BLOCK", "buffer_at", "byte", "check", "copy", "copy_block", "copy_exactly", "half", "item64",
    "mask_backslash", "mask_byte_or_backslash", "mask_json_special", "mask_not_ascii", "put_byte", "put_half",
    "put_item64", "set_cell", "value_of", "word",
)  # fmt: skip
INSTEAD = {
    **{name: getattr(vm_memory, name) for name in OF_MEMORY},
    "item32": item32,
    "trailing_zeros": trailing_zeros,
    "MAX_DEPTH": DEEPEST,
    "MAX_CALLS": DEEPEST,
    "STEPS": 1 << 18,
}
"""What the machine's functions call to touch memory, and what a row may take on a device."""


class Record(IntEnum):
    """The header's words."""

    START = 0  # the text of the value
    LENGTH = 1  # -1: there is none
    A = 2
    W = 3
    FIRST = 4  # where the cells were
    COUNT = 5


OF_STATEMENTS = len(Record)
OF_CELLS = OF_STATEMENTS + 2 * STATEMENTS

RECORD, LEADS = int(Word.LIMIT) + 1, int(Word.LIMIT) + 3
"""Words of the machine's state beside those of Word: the record's address and bytes, and whether this row is
the one that makes it."""

TYPE_MASK = vm_machine.TYPE_MASK
GOING_ON, MORE_CELLS = int(Outcome.GOING_ON), int(Outcome.MORE_CELLS)

of_memory = Ported(INSTEAD)
memory, cells = of_memory(vm_machine.memory), of_memory(vm_machine.cells)
has_cells, take_cells = of_memory(vm_machine.has_cells), of_memory(vm_machine.take_cells)
has_text_room, same_bytes = of_memory(vm_machine.has_text_room), of_memory(vm_machine.same_bytes)
parse_value = of_memory(vm_parse.parse_value)
output, write_bytes = of_memory(vm_write.output), of_memory(vm_write.write_bytes)


@function
def keep(m, record, start, length, a, w, first):
    """Note a value whose cells are those from `first` on, if there is room."""
    count = item64(m, Word.TOP) - first
    if 8 * (OF_CELLS + 2 * count) > record[1]:
        return
    own = cells(m)
    for k in range(2 * count):
        put_item64(record, OF_CELLS + k, item64(own, 2 * first + k))
    put_item64(record, Record.START, start)
    put_item64(record, Record.LENGTH, length)
    put_item64(record, Record.A, a)
    put_item64(record, Record.W, w)
    put_item64(record, Record.FIRST, first)
    put_item64(record, Record.COUNT, count)
    put_item64(buffer_at(m, Word.STORE), Kept.CURRENT, np.int64(0))


@function
def moved(a, w, by):
    """What a cell has, where the cells of its value are `by` cells further on."""
    kind = w & TYPE_MASK
    return a + by if kind == LIST or kind == DICT else a


@function
def read(m, record):
    """A record's value, in cells of the row: (a, word, Outcome)."""
    count = item64(record, Record.COUNT)
    if not has_cells(m, count):
        return np.int64(0), np.int64(0), MORE_CELLS
    first = take_cells(m, count)
    by = first - item64(record, Record.FIRST)
    own = cells(m)
    for k in range(count):
        at = OF_CELLS + 2 * k
        w = item64(record, at + 1)
        put_item64(own, 2 * (first + k), moved(item64(record, at), w, by))
        put_item64(own, 2 * (first + k) + 1, w)
    put_item64(buffer_at(m, Word.STORE), Kept.CURRENT, np.int64(0))
    w = item64(record, Record.W)
    return moved(item64(record, Record.A), w, by), w, GOING_ON


@function
def is_of(m, record, start, length):
    """Is a record of this text?"""
    if item64(record, Record.LENGTH) != length:
        return False
    return same_bytes(memory(m), item64(record, Record.START), start, length)


@function
def kept_value(m, start, length):
    """The value of a JSON text: (a, word, Outcome)."""
    record, leads = buffer_at(m, RECORD), item64(m, LEADS) != 0
    if record[1] > 0 and not leads and is_of(m, record, start, length):
        return read(m, record)
    first = item64(m, Word.TOP)
    a, w, outcome = parse_value(m, start, start + length)
    if record[1] > 0 and leads and outcome == GOING_ON:
        keep(m, record, start, length, a, w, first)
    return a, w, outcome


@function
def recall(m, statement):
    """Write what a statement wrote for this row's value: (was it known, Outcome)."""
    store, record = buffer_at(m, Word.STORE), buffer_at(m, RECORD)
    if item64(store, Kept.CURRENT) < 0:
        return False, GOING_ON
    if item64(m, LEADS):
        put_item64(store, Kept.BEGIN, item64(m, Word.POSITION))
        return False, GOING_ON
    at = OF_STATEMENTS + 2 * statement
    length = item64(record, at + 1)
    if length < 0:
        return False, GOING_ON
    return True, write_bytes(m, item64(record, at), length)


@function
def end_memo(m, statement):
    """Note what the statement wrote, if this row makes the record and there is room."""
    store, record = buffer_at(m, Word.STORE), buffer_at(m, RECORD)
    if item64(m, LEADS) == 0 or item64(store, Kept.CURRENT) < 0:
        return
    begin = item64(store, Kept.BEGIN)
    length = item64(m, Word.POSITION) - begin
    if not has_text_room(m, length):
        return
    place = item64(m, Word.TEXT)
    copy(memory(m), place, output(m), begin, length)
    put_item64(m, Word.TEXT, place + length)
    at = OF_STATEMENTS + 2 * statement
    put_item64(record, at, place)
    put_item64(record, at + 1, length)
