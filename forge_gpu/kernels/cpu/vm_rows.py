"""The kernel of the template VM: for each row, its variables to cells, the template's code, its text.

`Machine` is a template with its working memory, for one thread. Its buffers grow as rows ask for it, up to
their bounds; a row that asks for more is Jinja's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.cache import CHECKED
from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import (
    BLOCK,
    address,
    byte,
    copy_exactly,
    item64,
    mask_backslash,
    put_byte,
    put_item64,
    whole,
    word,
)
from forge_gpu.kernels.cpu.vm_cache import STORE_WORDS, Kept, forget, kept_value
from forge_gpu.kernels.cpu.vm_machine import (
    GOING_ON,
    MORE_CELLS,
    MORE_OUTPUT,
    MORE_STACK,
    MORE_TABLES,
    MORE_TEXT,
    TO_JINJA,
    TYPE_MASK,
    buffer_at,
    has_text_room,
    move_cells,
    set_cell,
)
from forge_gpu.kernels.cpu.vm_messages import ends_with_assistant, prepare_messages
from forge_gpu.kernels.cpu.vm_parse import parse_value, respell
from forge_gpu.kernels.cpu.vm_run import DONE, execute
from forge_gpu.kernels.cpu.vm_text import characters
from forge_gpu.kernels.layout import ABSENT, CANONICAL, CLEAN, I64, JSON, NULL, PADDING, PLAIN, U8, Spans
from forge_gpu.kernels.vm_layout import (
    LIST,
    MAX_CALLS,
    NONE,
    STEPS,
    TEXT,
    TYPE_BITS,
    WORDS,
    Variable,
    VmProgram,
    Word,
)
from forge_gpu.kernels.vm_tables import tables
from forge_gpu.plain import frozen

MESSAGES, PROMPT = int(Variable.MESSAGES), int(Variable.PROMPT)
VARIABLE = 8  # words: what it is, its cell, its default's, starts, lengths, kinds, its data's place and size
OUTCOME_BITS = 8


@inner
def text_in_memory(m, start, length, data, size):
    """The place of a row's text; a text at the very end of its data is copied, as up to 63 bytes after it are
    read. -1: there is no room for the copy."""
    if start + length + PADDING <= size:
        return data + start
    if not has_text_room(m, length + PADDING):
        return np.int64(-1)
    place = item64(m, Word.TEXT)
    memory = buffer_at(m, Word.MEMORY)
    copy_exactly(memory, place, memory, data + start, length)
    put_item64(m, Word.TEXT, place + length + PADDING)
    return place


@inner
def json_of_string(m, place, length, kind):
    """The JSON that is kept inside a string: (place, length, Outcome); length 0 for a blank string."""
    memory = buffer_at(m, Word.MEMORY)
    if kind != PLAIN and kind != CLEAN:
        begin = item64(m, Word.TEXT)
        outcome = respell(m, place, place + length, False)
        if outcome != GOING_ON:
            return place, length, outcome
        place, length = begin, item64(m, Word.TEXT) - begin
        if not has_text_room(m, PADDING):
            return place, length, MORE_TEXT
        put_item64(m, Word.TEXT, begin + length + PADDING)
    for k in range(length):
        c = byte(memory, place + k)
        if c > 32 or c < 9 or 13 < c < 28:
            return place, length, GOING_ON
    return place, np.int64(0), GOING_ON


@inner
def bind(m, variables, at, row):
    """A row's variable to its cell: an Outcome."""
    what, cell, default = (item64(variables, at), item64(variables, at + 1), item64(variables, at + 2))
    starts = (np.uint64(item64(variables, at + 3)), 8 * (row + 1))
    lengths = (np.uint64(item64(variables, at + 4)), 8 * (row + 1))
    kinds = (np.uint64(item64(variables, at + 5)), row + 1)
    kind, length = byte(kinds, row), item64(lengths, row)
    if kind == ABSENT or kind == NULL:
        move_cells(m, cell, default, 1)
        return GOING_ON
    data, size = item64(variables, at + 6), item64(variables, at + 7)
    place = text_in_memory(m, item64(starts, row), length, data, size)
    if place < 0:
        return MORE_TEXT
    if what == MESSAGES or what == PROMPT:
        if kind != JSON:
            return TO_JINJA
        a, w, outcome = parse_value(m, place, place + length)
        if outcome == GOING_ON:
            outcome = prepare_messages(m, a, w)
        if outcome == GOING_ON and what == PROMPT:
            if not ends_with_assistant(m, a, w):
                return TO_JINJA
            w -= 1 << TYPE_BITS
        limit = item64(m, Word.LIMIT)
        if outcome == GOING_ON and 0 <= limit < w >> TYPE_BITS:
            w = limit << TYPE_BITS | LIST
        put_item64(m, Word.MESSAGES, a)
        put_item64(m, Word.MESSAGES + 1, w >> TYPE_BITS)
        set_cell(m, cell, a, w)
        return outcome
    if kind != JSON:
        place, length, outcome = json_of_string(m, place, length, kind)
        if outcome != GOING_ON:
            return outcome
        if length == 0:
            move_cells(m, cell, default, 1)
            return GOING_ON
    a, w, outcome = kept_value(m, place, length)
    set_cell(m, cell, a, w)
    if outcome == GOING_ON and w & TYPE_MASK == NONE:
        move_cells(m, cell, default, 1)
    return outcome


@inner
def run_row(m, variables, row):
    """One row, from its columns to its text."""
    store = buffer_at(m, Word.STORE)
    put_item64(m, Word.TOP, item64(m, Word.FIRST_FREE))
    put_item64(m, Word.TEXT, item64(m, Word.TEXT_BEGIN))
    put_item64(m, Word.FUEL, np.int64(STEPS))
    put_item64(m, Word.PLACE, np.int64(-1))
    put_item64(m, Word.CURRENT, np.int64(-1))
    put_item64(store, Kept.CURRENT, np.int64(-1))
    for at in range(0, variables[1] >> 3, VARIABLE):
        outcome = bind(m, variables, at, row)
        if outcome != GOING_ON:
            return outcome
    return execute(m)


@kernel
def forget_all(m):
    forget(buffer_at(m, Word.STORE))


@kernel
def run_rows(m, variables, rows, limits, first, outcomes, offsets, escaped, mark_offsets):
    """Rows number rows[first], rows[first + 1], ...: the number of the next to go on with, which asks for
    more room by its outcome.

    limits: int64 each, how many messages the template is given, -1 for all. outcomes: int64 each, Outcome and
    above it the instruction that ended the row. offsets, mark_offsets: int64, where each row's text and marks
    end. escaped: uint8, is there a backslash in the text?
    """
    output = buffer_at(m, Word.OUTPUT)
    for k in range(first, rows[1] >> 3):
        begin, marked = item64(m, Word.POSITION), item64(m, Word.MARKED)
        put_item64(m, Word.BEGIN, begin)
        put_item64(m, Word.LIMIT, item64(limits, k))
        outcome = run_row(m, variables, item64(rows, k))
        put_item64(outcomes, k, item64(m, Word.PLACE) << OUTCOME_BITS | outcome)
        if outcome != DONE:
            put_item64(m, Word.POSITION, begin)
            put_item64(m, Word.MARKED, marked)
            if outcome >= MORE_OUTPUT:
                return k
        put_item64(offsets, k + 1, item64(m, Word.POSITION))
        put_item64(mark_offsets, k + 1, item64(m, Word.MARKED))
        put_byte(escaped, k, has_backslash(output, begin, item64(m, Word.POSITION)))
    return rows[1] >> 3


@kernel
def count_mark_characters(output, offsets, mark_offsets, marks):
    """The places of marks become places in characters."""
    for k in range((offsets[1] >> 3) - 1):
        at = item64(offsets, k)
        place, counted = at, np.int64(0)
        for j in range(item64(mark_offsets, k), item64(mark_offsets, k + 1), 2):
            marked = at + item64(marks, j)
            counted += characters(output, place, marked - place)
            place = marked
            put_item64(marks, j, counted)


@kernel
def compare_texts(one, one_spans, other, other_spans, whole, answers):
    """answers: uint8, is each text of `other` the beginning of that of `one`, or (`whole`) the same? Spans
    are (start, length) pairs."""
    for k in range(answers[1]):
        size, length = item64(one_spans, 2 * k + 1), item64(other_spans, 2 * k + 1)
        answer = length == size or (length < size and not whole)
        p, q = item64(one_spans, 2 * k), item64(other_spans, 2 * k)
        at = np.int64(0)
        while answer and at < length:
            if at + 8 <= length:
                answer = word(one, p + at) == word(other, q + at)
                at += 8
            else:
                answer = byte(one, p + at) == byte(other, q + at)
                at += 1
        put_byte(answers, k, int(answer))


@inner
def has_backslash(output, begin, end):
    """The output has PADDING bytes after its end, which are undefined."""
    p = begin
    while p + BLOCK <= end:
        if mask_backslash(output, p) != 0:
            return 1
        p += BLOCK
    if p < end:
        return int(mask_backslash(output, p) & ((np.int64(1) << (end - p)) - 1) != 0)
    return 0


@frozen
class Rendered:
    """What the machine made of n rows.

    outcome: int64[n], DONE, RAISED or TO_JINJA. place: int64[n], the instruction that ended a row, or -1.
    text: Spans[n], in the machine's output: it lives until the next run. marks: int64[m, 2], a place in the
    text in bytes and what it is (MARK_...) each; mark_offsets: int64[n + 1], of row k are
    marks[mark_offsets[k]:mark_offsets[k + 1]].
    """

    outcome: I64
    place: I64
    text: Spans
    mark_offsets: I64
    marks: I64


KEPT_TEXT, KEPT_CELLS = 1 << 22, 1 << 16
FIRST_SIZES = {"text": 1 << 20, "output": 1 << 20, "cells": 1 << 14, "stack": 1 << 14, "marks": 1 << 10}
"""Bytes of text and output, cells that a row may take, words of the stack and of marks, to begin with."""
BOUNDS = {"text": 1 << 26, "output": 1 << 26, "cells": 1 << 22, "stack": 1 << 22, "marks": 1 << 20}
"""The most of each for one row."""
GROWS = {
    MORE_OUTPUT: ("output",),
    MORE_TEXT: ("text",),
    MORE_CELLS: ("cells",),
    MORE_STACK: ("stack", "marks"),
}
SAVED_WORDS = 1 << 16


class Machine:
    """A program with its working memory. One thread at a time."""

    def __init__(self, program: VmProgram) -> None:
        self.program = program
        self._literals = np.frombuffer(program.literals + bytes(PADDING), np.uint8)
        self._kept = np.zeros(KEPT_TEXT if not CHECKED else 1 << 12, np.uint8)
        self._size = dict(FIRST_SIZES)
        self._text = np.empty(self._size["text"] + PADDING, np.uint8)
        self._output = np.empty(self._size["output"] + PADDING, np.uint8)
        self._cells = np.zeros(2 * (program.cells + KEPT_CELLS + self._size["cells"]), np.int64)
        self._stack = np.zeros(self._size["stack"], np.int64)
        self._marks = np.zeros(self._size["marks"], np.int64)
        self._calls = np.zeros(MAX_CALLS + 1, np.int64)
        self._saved = np.zeros(SAVED_WORDS, np.int64)
        self._store = np.zeros(STORE_WORDS, np.int64)
        self._tables = np.empty(0, np.uint8)
        self._joined = np.empty(0, np.uint8)
        self._state = np.zeros(WORDS, np.int64)
        self._variables = np.zeros((len(program.variables), VARIABLE), np.int64)
        self._started = False

    @property
    def nbytes(self) -> int:
        """Bytes of the working memory, most of it not touched yet."""
        arrays = (self._kept, self._text, self._output, self._cells, self._stack, self._store, self._joined)
        return sum(array.nbytes for array in arrays)

    def run(self, columns: Sequence[Spans], rows: I64, limits: I64 | None = None) -> Rendered:
        """The texts of some rows; one column a variable of the program, in their order.

        rows: int64[n], a row may come more than once. limits: int64[n], how many of its messages the template
        is given each time; -1, or None: all.
        """
        count = len(rows)
        limits = np.full(count, -1) if limits is None else np.ascontiguousarray(limits, np.int64)
        outcomes, offsets = np.zeros(count, np.int64), np.zeros(count + 1, np.int64)
        escaped, mark_offsets = np.zeros(count, np.uint8), np.zeros(count + 1, np.int64)
        rows = np.ascontiguousarray(rows, np.int64)
        columns = [_contiguous(column) for column in columns]
        self._state[Word.POSITION] = self._state[Word.MARKED] = 0
        at = 0
        while at < count:
            self._lay_out(columns)
            arrays = (self._state, self._variables, rows, limits)
            results = (outcomes, offsets, escaped, mark_offsets)
            at = run_rows(*map(whole, arrays), at, *map(whole, results))
            if at < count and not self._grow(int(outcomes[at]) & ((1 << OUTCOME_BITS) - 1)):
                outcomes[at] += TO_JINJA - (outcomes[at] & ((1 << OUTCOME_BITS) - 1))
                offsets[at + 1] = self._state[Word.POSITION]
                mark_offsets[at + 1] = self._state[Word.MARKED]
                at += 1
        kind = np.where(escaped, np.uint8(CANONICAL), np.uint8(CLEAN))
        data = self._output[: int(self._state[Word.POSITION]) + PADDING]
        text = Spans(data, offsets[:-1].copy(), np.diff(offsets), kind)
        marks = self._marks[: int(self._state[Word.MARKED])].copy()
        outcome = outcomes & ((1 << OUTCOME_BITS) - 1)
        return Rendered(outcome, outcomes >> OUTCOME_BITS, text, mark_offsets >> 1, marks.reshape(-1, 2))

    def mark_characters(self, rendered: Rendered) -> I64:
        """The marks of the last run, their places in characters."""
        offsets = np.concatenate([rendered.text.start, [rendered.text.start[-1] + rendered.text.length[-1]]])
        marks = rendered.marks.copy()
        bounds = 2 * rendered.mark_offsets
        count_mark_characters(*map(whole, (rendered.text.data, offsets, bounds, marks.ravel())))
        return marks

    def _grow(self, outcome: int) -> bool:
        """Make room for what a row asks for; False where it has as much as one row may have."""
        if outcome == MORE_TABLES:
            self._tables = tables()
            return True
        names = GROWS[outcome]
        grown = [name for name in names if self._size[name] < BOUNDS[name]]
        if outcome == MORE_OUTPUT:  # rows before this one take room too
            used = int(self._state[Word.POSITION])
            grown = ["output"] if len(self._output) - used < 2 * BOUNDS["output"] else []
        for name in grown:
            self._size[name] *= 2
        if "text" in grown:
            self._text = np.empty(self._size["text"] + PADDING, np.uint8)
        if "output" in grown:
            self._output = _larger(self._output, self._size["output"] + PADDING)
        if "cells" in grown:
            words = 2 * (self.program.cells + KEPT_CELLS + self._size["cells"])
            self._cells = _larger(self._cells, words)
        if "stack" in grown:
            self._stack = np.zeros(self._size["stack"], np.int64)
        if "marks" in grown:
            self._marks = _larger(self._marks, self._size["marks"])
        return bool(grown)

    def _lay_out(self, columns: Sequence[Spans]) -> None:
        """Write the state words: where everything lies."""
        program, state = self.program, self._state
        memory = [self._literals, self._kept, self._text, *(column.data for column in columns)]
        places, base, size = self._places(memory)
        buffers = {
            Word.CODE: program.code,
            Word.CELLS: self._cells,
            Word.OUTPUT: self._output,
            Word.STACK: self._stack,
            Word.CALLS: self._calls,
            Word.SAVED: self._saved,
            Word.MARKS: self._marks,
            Word.STORE: self._store,
            Word.TABLES: self._tables,
        }
        for which, array in buffers.items():
            state[which], state[which + 1] = address(array), array.nbytes
        state[Word.MEMORY], state[Word.MEMORY + 1] = base, size
        state[Word.TEXT_BEGIN] = places[2]
        state[Word.TEXT_END] = places[2] + len(self._text) - PADDING
        state[Word.FIRST_FREE] = program.cells + KEPT_CELLS
        state[Word.NAMES] = 0
        state[Word.RENAMED], state[Word.RENAMED + 1] = program.renamed
        for number, (what, cell, default) in enumerate(program.variables):
            column = columns[number]
            arrays = (column.start, column.length, column.kind)
            places_of = [address(array) for array in arrays]
            self._variables[number] = [
                what, cell, default, *places_of, places[3 + number], len(column.data)
            ]  # fmt: skip
        if not self._started:
            self._start(places)

    def _places(self, memory: Sequence[U8]) -> tuple[list[int], int, int]:
        """(where each array begins in the machine's memory, that memory's address and size)."""
        if not CHECKED:
            return [address(array) for array in memory], 0, 1 << 62
        sizes = [len(array) + PADDING for array in memory]
        places = [0, *np.cumsum(sizes)[:-1].tolist()]
        joined = np.zeros(sum(sizes) + PADDING, np.uint8)
        for place, array in zip(places, memory, strict=True):
            joined[place : place + len(array)] = array
        if len(self._joined):  # what is kept stays
            joined[places[1] : places[2]] = self._joined[places[1] : places[2]]
        self._joined = joined
        return places, address(joined), joined.nbytes

    def _start(self, places: list[int]) -> None:
        """Constants to their cells, and an empty store."""
        constants = self.program.constants.reshape(-1, 2).copy()
        located = np.isin(constants[:, 1] & TYPE_MASK, (TEXT, TEXT + 1, TEXT - 1, TEXT - 2))
        constants[located, 0] += places[0]
        self._cells[: constants.size] = constants.ravel()
        self._store[Kept.TEXT_BEGIN], self._store[Kept.TEXT_END] = places[1], places[1] + len(self._kept)
        self._store[Kept.CELL_BEGIN] = self.program.cells
        self._store[Kept.CELL_END] = self.program.cells + KEPT_CELLS
        forget_all(whole(self._state))
        self._started = True


def _larger(array, size):  # type: ignore[no-untyped-def]
    larger = np.empty(size, array.dtype)
    larger[: len(array)] = array
    return larger


def _contiguous(column: Spans) -> Spans:
    parts = (np.ascontiguousarray(part) for part in (column.data, column.start, column.length, column.kind))
    return Spans(*parts)


def same_texts(one: Spans, other: Spans, entire: bool) -> npt.NDArray[np.bool_]:
    """Is each text of `other` the beginning of that of `one`, or (`entire`) the same?"""
    answers = np.zeros(len(one), np.uint8)
    pairs = [np.stack([spans.start, spans.length], axis=1) for spans in (one, other)]
    compare_texts(
        whole(one.data), whole(pairs[0]), whole(other.data), whole(pairs[1]), entire, whole(answers)
    )
    return answers.astype(np.bool_)
