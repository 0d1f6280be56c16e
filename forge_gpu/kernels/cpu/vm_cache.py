"""What is the same for thousands of rows is parsed and written once: the values of one variable (`tools`),
and the texts of the statements that depend on it alone.

A value is known by its text as the row has it. Texts, cells and what statements wrote are kept in regions of
their own until one of them is full; then all is forgotten. Where values do not come again, keeping them only
costs, so it rests for a while.

The store, in words: the header (Kept), entries of ENTRY words, a table of 2 * ENTRIES words that finds
entries by their hash, and two words (place, length) for each entry and statement.
"""

from enum import IntEnum

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import byte, copy, item64, put_item64, word
from forge_gpu.kernels.cpu.vm_machine import (
    GOING_ON,
    MORE_CELLS,
    MORE_TEXT,
    buffer_at,
    memory,
    same_bytes,
)
from forge_gpu.kernels.cpu.vm_parse import parse_value
from forge_gpu.kernels.cpu.vm_write import output, write_bytes
from forge_gpu.kernels.layout import PADDING
from forge_gpu.kernels.vm_layout import Word


class Kept(IntEnum):
    """The header's words."""

    ENTRIES = 0  # so many are kept
    CURRENT = 1  # the entry of this row, -1: none
    TEXT = 2  # the first free place for texts
    TEXT_BEGIN = 3
    TEXT_END = 4
    CELL = 5  # the first free cell
    CELL_BEGIN = 6
    CELL_END = 7
    BEGIN = 8  # where the text of the open statement begins in the output, -1: it is not kept
    HITS = 9  # since all was forgotten
    REST = 10  # rows to go before values are kept again
    LAST = 11  # the entry used last


HEADER = 16
ENTRIES, ENTRY = 256, 8  # an entry: hash, start, length, a, word
STATEMENTS = 32
TABLE = HEADER + ENTRIES * ENTRY
MEMOS = TABLE + 2 * ENTRIES
STORE_WORDS = MEMOS + 2 * ENTRIES * STATEMENTS
RESTING = 512


@inner
def forget(store):
    put_item64(store, Kept.ENTRIES, np.int64(0))
    put_item64(store, Kept.CURRENT, np.int64(-1))
    put_item64(store, Kept.LAST, np.int64(-1))
    put_item64(store, Kept.TEXT, item64(store, Kept.TEXT_BEGIN))
    put_item64(store, Kept.CELL, item64(store, Kept.CELL_BEGIN))
    put_item64(store, Kept.HITS, np.int64(0))
    for k in range(2 * ENTRIES):
        put_item64(store, TABLE + k, np.int64(-1))


@inner
def hash_of(mem, start, length):
    value = np.uint64(length)
    factor = np.uint64(0x9E3779B97F4A7C15)
    p, end = start, start + length
    while p + 8 <= end:
        value = (value ^ word(mem, p)) * factor
        value ^= value >> np.uint64(29)
        p += 8
    while p < end:
        value = (value ^ np.uint64(byte(mem, p))) * factor
        value ^= value >> np.uint64(29)
        p += 1
    return np.int64(value >> np.uint64(1))


@inner
def is_entry(store, mem, entry, start, length):
    at = HEADER + entry * ENTRY
    return item64(store, at + 2) == length and same_bytes(mem, item64(store, at + 1), start, length)


@inner
def find_entry(store, mem, start, length, digest):
    """(the entry of a text or -1, where it stands or goes in the table)."""
    slot = digest % (2 * ENTRIES)
    while True:
        entry = item64(store, TABLE + slot)
        if entry < 0:
            return entry, slot
        if item64(store, HEADER + entry * ENTRY) == digest and is_entry(store, mem, entry, start, length):
            return entry, slot
        slot = (slot + 1) % (2 * ENTRIES)


@inner
def keep(m, store, start, length, digest, slot):
    """Keep a text and its value as a new entry: an Outcome, MORE_... where there is no room."""
    mem = memory(m)
    entry = item64(store, Kept.ENTRIES)
    copied = item64(store, Kept.TEXT)
    end = copied + length + PADDING
    if entry == ENTRIES:
        return MORE_CELLS
    if end > item64(store, Kept.TEXT_END):
        return MORE_TEXT
    copy(mem, copied, mem, start, length)
    top, cell_bytes = item64(m, Word.TOP), item64(m, Word.CELLS + 1)
    text, text_end = item64(m, Word.TEXT), item64(m, Word.TEXT_END)
    put_item64(m, Word.TOP, item64(store, Kept.CELL))
    put_item64(m, Word.CELLS + 1, 16 * item64(store, Kept.CELL_END))
    put_item64(m, Word.TEXT, end)
    put_item64(m, Word.TEXT_END, item64(store, Kept.TEXT_END))
    a, w, outcome = parse_value(m, copied, copied + length)
    cells_end, texts_end = item64(m, Word.TOP), item64(m, Word.TEXT)
    put_item64(m, Word.TOP, top)
    put_item64(m, Word.CELLS + 1, cell_bytes)
    put_item64(m, Word.TEXT, text)
    put_item64(m, Word.TEXT_END, text_end)
    if outcome != GOING_ON:
        return outcome
    put_item64(store, Kept.CELL, cells_end)
    put_item64(store, Kept.TEXT, texts_end + PADDING)
    put_item64(store, Kept.ENTRIES, entry + 1)
    put_item64(store, TABLE + slot, entry)
    at = HEADER + entry * ENTRY
    put_item64(store, at, digest)
    put_item64(store, at + 1, copied)
    put_item64(store, at + 2, length)
    put_item64(store, at + 3, a)
    put_item64(store, at + 4, w)
    for k in range(STATEMENTS):
        put_item64(store, MEMOS + 2 * (entry * STATEMENTS + k) + 1, np.int64(-1))
    return GOING_ON


@inner
def value_of_entry(store, entry):
    put_item64(store, Kept.CURRENT, entry)
    put_item64(store, Kept.LAST, entry)
    at = HEADER + entry * ENTRY
    return item64(store, at + 3), item64(store, at + 4), GOING_ON


@inner
def kept_value(m, start, length):
    """The value of a JSON text: (a, word, Outcome); kept, or parsed for this row alone."""
    store, mem = buffer_at(m, Word.STORE), memory(m)
    entry = item64(store, Kept.LAST)
    digest, slot = np.int64(0), np.int64(0)
    if entry < 0 or not is_entry(store, mem, entry, start, length):
        digest = hash_of(mem, start, length)
        entry, slot = find_entry(store, mem, start, length, digest)
    if entry >= 0:
        put_item64(store, Kept.HITS, item64(store, Kept.HITS) + 1)
        return value_of_entry(store, entry)
    if item64(store, Kept.REST) > 0:
        put_item64(store, Kept.REST, item64(store, Kept.REST) - 1)
        return parse_value(m, start, start + length)
    outcome = keep(m, store, start, length, digest, slot)
    if outcome == MORE_TEXT or outcome == MORE_CELLS:
        if item64(store, Kept.HITS) < item64(store, Kept.ENTRIES):
            put_item64(store, Kept.REST, np.int64(RESTING))
        forget(store)
        outcome = keep(m, store, start, length, digest, digest % (2 * ENTRIES))
    if outcome == GOING_ON:
        return value_of_entry(store, item64(store, Kept.ENTRIES) - 1)
    return parse_value(m, start, start + length)


@inner
def recall(m, statement):
    """Write what a statement wrote for this row's value before: (was it known, Outcome). If not, note that it
    begins."""
    store = buffer_at(m, Word.STORE)
    entry = item64(store, Kept.CURRENT)
    put_item64(store, Kept.BEGIN, np.int64(-1))
    if entry < 0:
        return False, GOING_ON
    at = MEMOS + 2 * (entry * STATEMENTS + statement)
    length = item64(store, at + 1)
    if length < 0:
        put_item64(store, Kept.BEGIN, item64(m, Word.POSITION))
        return False, GOING_ON
    return True, write_bytes(m, item64(store, at), length)


@inner
def end_memo(m, statement):
    """Keep what the statement wrote, if there is room."""
    store = buffer_at(m, Word.STORE)
    begin, entry = item64(store, Kept.BEGIN), item64(store, Kept.CURRENT)
    if begin < 0 or entry < 0:
        return
    put_item64(store, Kept.BEGIN, np.int64(-1))
    length = item64(m, Word.POSITION) - begin
    place = item64(store, Kept.TEXT)
    if place + length + PADDING > item64(store, Kept.TEXT_END):
        return
    copy(memory(m), place, output(m), begin, length)
    put_item64(store, Kept.TEXT, place + length + PADDING)
    at = MEMOS + 2 * (entry * STATEMENTS + statement)
    put_item64(store, at, place)
    put_item64(store, at + 1, length)
