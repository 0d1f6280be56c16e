"""The template VM on a device: the machine of `kernels/cpu`, a thread a row (see reference/vm_run.py).

The functions are those of the CPU (`ported`), over memory that each thread has to itself: the machine's
state, its stacks, cells and texts. Each row writes to its own place of an output. `vm_rows` has the host's
side.

Bytes moved, for a row of s bytes of messages and tools and a text of t: s twice, once for sorting; 16 a cell,
some four times; t once, and 2 t for the copy behind it. Expected: not these but the interpreter's loads and
branches decide, see docs/gpu.md.
"""

from enum import IntEnum

import numpy as np

from forge_gpu.kernels.cpu import vm_parse, vm_rows
from forge_gpu.kernels.cpu.vm_cache import HEADER, hash_of
from forge_gpu.kernels.cuda import vm_tools
from forge_gpu.kernels.cuda.buffers import buffer_of, byte, put_item64
from forge_gpu.kernels.cuda.device import function, kernel, kernel_of_registers
from forge_gpu.kernels.cuda.memory import thread
from forge_gpu.kernels.cuda.vm_memory import buffer_at, half, item64, word
from forge_gpu.kernels.cuda.vm_tools import DEEPEST, LEADS, RECORD, of_memory
from forge_gpu.kernels.layout import JSON, NULL, PADDING
from forge_gpu.kernels.vm_layout import BIGINT, SAFE, TYPE_BITS, WORDS, Outcome, Word

in_machine = of_memory.extended(
    {name: getattr(vm_tools, name) for name in ("end_memo", "kept_value", "recall")}
)
run_row, has_backslash = in_machine(vm_rows.run_row), in_machine(vm_rows.has_backslash)
special_at, digest_of = in_machine(vm_parse.special_at), in_machine(hash_of)


OUTCOME_BITS, VARIABLE, TYPE_MASK = vm_rows.OUTCOME_BITS, vm_rows.VARIABLE, (1 << TYPE_BITS) - 1
DONE = int(Outcome.DONE)
SAVED, MARKS = 2048, 128  # words of saved cells, and of marks, which nobody asks for
FIXED = WORDS + 2 * VARIABLE + HEADER + DEEPEST + 1 + SAVED + MARKS
"""Words of a thread that do not depend on what it has to do."""
ROLE = int.from_bytes(b"role", "little")


class Shape(IntEnum):
    """What the threads of a launch have, and where things are in the window."""

    CELLS = 0  # of the program
    ROW_CELLS = 1
    STACK = 2  # words
    TEXT = 3  # bytes
    STRIDE = 4  # words of a thread
    RENAMED = 5
    RENAMED_COUNT = 6
    LITERALS = 7
    TABLES = 8
    TABLES_SIZE = 9
    VARIABLES = 10  # for each: what it is, its cell, its default's, where its data begins, their bytes


@function
def put_buffer(m, which, at, size):
    """A buffer among the words of the state; the place behind it."""
    put_item64(m, which, at)
    put_item64(m, which + 1, size)
    return at + size


@function
def lay_out(m, shape, window, code):
    """The state of a thread: where everything lies, behind the state itself and the variables."""
    at = np.int64(m[0]) + 8 * (WORDS + 2 * VARIABLE)
    at = put_buffer(m, Word.STORE, at, np.int64(8 * HEADER))
    at = put_buffer(m, Word.CALLS, at, np.int64(8 * (DEEPEST + 1)))
    at = put_buffer(m, Word.SAVED, at, np.int64(8 * SAVED))
    at = put_buffer(m, Word.MARKS, at, np.int64(8 * MARKS))
    at = put_buffer(m, Word.STACK, at, 8 * item64(shape, Shape.STACK))
    at = put_buffer(m, Word.CELLS, at, 16 * (item64(shape, Shape.CELLS) + item64(shape, Shape.ROW_CELLS)))
    put_item64(m, Word.CODE, np.int64(code[0]))
    put_item64(m, Word.CODE + 1, code[1])
    put_item64(m, Word.MEMORY, np.int64(0))
    put_item64(m, Word.MEMORY + 1, np.int64(1 << 62))
    put_item64(m, Word.TABLES, window + item64(shape, Shape.TABLES))
    put_item64(m, Word.TABLES + 1, item64(shape, Shape.TABLES_SIZE))
    put_item64(m, Word.TEXT_BEGIN, at)
    put_item64(m, Word.TEXT_END, at + item64(shape, Shape.TEXT))
    put_item64(m, Word.FIRST_FREE, item64(shape, Shape.CELLS))
    put_item64(m, Word.NAMES, np.int64(0))
    put_item64(m, Word.RENAMED, item64(shape, Shape.RENAMED))
    put_item64(m, Word.RENAMED + 1, item64(shape, Shape.RENAMED_COUNT))
    put_item64(m, Word.LIMIT, np.int64(-1))
    put_item64(m, Word.BEGIN, np.int64(0))


@function
def put_constants(m, shape, constants, literals):
    """The program's constants to their cells; their texts are at the address `literals`. Variables have
    nothing yet."""
    cells = buffer_at(m, Word.CELLS)
    for k in range(len(constants) >> 1):
        a, w = constants[2 * k], constants[2 * k + 1]
        kind = w & TYPE_MASK
        put_item64(cells, 2 * k, a + literals if BIGINT <= kind <= SAFE else a)
        put_item64(cells, 2 * k + 1, w)
    for k in range(len(constants), 2 * item64(shape, Shape.CELLS)):
        put_item64(cells, k, np.int64(0))


@function
def put_variables(variables, shape, window, start, length, kind):
    """The table of variables, as run_row reads it; column c has the values from c * len(rows) on."""
    n = len(start) // 2
    for c in range(2):
        at, given = VARIABLE * c, Shape.VARIABLES + 5 * c
        put_item64(variables, at, item64(shape, given))
        put_item64(variables, at + 1, item64(shape, given + 1))
        put_item64(variables, at + 2, item64(shape, given + 2))
        put_item64(variables, at + 3, np.int64(buffer_of(start)[0]) + 8 * n * c)
        put_item64(variables, at + 4, np.int64(buffer_of(length)[0]) + 8 * n * c)
        put_item64(variables, at + 5, np.int64(buffer_of(kind)[0]) + n * c)
        put_item64(variables, at + 6, window + item64(shape, given + 3))
        put_item64(variables, at + 7, item64(shape, given + 4))


@kernel_of_registers(168)  # so that three blocks fit an SM; left alone, two would
def run(
    memory, shapes, code, constants, start, length, kind, rows, record_of, records, record_words, leads,
    record_text, threads, scratch, room, output, outcome, size, escaped,
):  # fmt: skip
    """Rows number rows[j], by `threads` threads: outcome[j], Outcome and above it the instruction that ended
    it; size[j], bytes written to output[room[j] : room[j + 1]]; escaped[j], is there a backslash among them?

    memory: uint8[], the window; shapes: int64[], see Shape; code: int32[], constants: int64[] of the program.
    start, length: int64[2 n], kind: uint8[2 n], of messages and of tools. record_of: int64[m], the row's
    record or -1; records: int64[r * record_words]; record_text: uint8[r * ...], where the texts of records
    are. leads: these rows make the records. scratch: int64[threads * stride].
    """
    t = thread()
    if t >= threads:
        return
    window, shape = np.int64(buffer_of(memory)[0]), buffer_of(shapes)
    own = np.uint64(np.int64(buffer_of(scratch)[0]) + 8 * t * item64(shape, Shape.STRIDE))
    m = own, np.int64(8 * WORDS)
    variables = own + np.uint64(8 * WORDS), np.int64(8 * 2 * VARIABLE)
    lay_out(m, shape, window, buffer_of(code))
    put_constants(m, shape, constants, window + item64(shape, Shape.LITERALS))
    put_variables(variables, shape, window, start, length, kind)
    kept_at, kept_text = buffer_of(records), buffer_of(record_text)
    put_item64(m, LEADS, np.int64(leads))
    for j in range(t, len(rows), threads):
        record = record_of[j]
        put_item64(m, RECORD, np.int64(kept_at[0]) + 8 * record * record_words)
        put_item64(m, RECORD + 1, 8 * record_words if record >= 0 else np.int64(0))
        if leads:
            each = kept_text[1] // len(rows) & ~np.int64(7)
            put_item64(m, Word.TEXT_BEGIN, np.int64(kept_text[0]) + j * each)
            put_item64(m, Word.TEXT_END, np.int64(kept_text[0]) + (j + 1) * each - PADDING)
        put_buffer(m, Word.OUTPUT, np.int64(buffer_of(output)[0]) + room[j], room[j + 1] - room[j])
        put_item64(m, Word.POSITION, np.int64(0))
        put_item64(m, Word.MARKED, np.int64(0))
        result = run_row(m, variables, rows[j])
        outcome[j] = item64(m, Word.PLACE) << OUTCOME_BITS | result
        if result == DONE:
            written = item64(m, Word.POSITION)
            size[j] = written
            escaped[j] = has_backslash(buffer_at(m, Word.OUTPUT), np.int64(0), written)


@function
def after_string(mem, p, end):
    """The place behind the string whose body is at p."""
    while p < end:
        p = special_at(mem, p, end)
        if p < end and byte(mem, p) == 34:
            return p + 1
        p += 2
    return end


@function
def signature(mem, p, end):
    """The number of messages of a list of them, above a hash of their keys and roles."""
    mixed, count, depth = np.uint64(0), np.int64(0), 0
    key_is_role = False
    while p < end:
        c = byte(mem, p)
        p += 1
        if c == 123 or c == 91:
            depth += 1
            if depth == 2:
                count += 1
        elif c == 125 or c == 93:
            depth -= 1
        elif c == 34:
            begin = p
            p = after_string(mem, p, end)
            if depth == 2:
                is_key = p < end and byte(mem, p) == 58
                if is_key or key_is_role:
                    mixed = (mixed ^ word(mem, begin) & np.uint64(0xFFFFFF)) * np.uint64(0x9E3779B97F4A7C15)
                    mixed ^= mixed >> np.uint64(29)
                key_is_role = is_key and p - begin == 5 and half(mem, begin) == ROLE
    return count << 32 | np.int64(mixed & np.uint64(0xFFFFFFFF))


@kernel
def sign(memory, shapes, start, length, kind, rows, keys):
    """keys[0, j]: the signature of the messages of row rows[j], 0 of what is no JSON; keys[1, j]: a hash of
    its tools. A thread a row; the other arguments as for `run`."""
    j = thread()
    if j >= len(rows):
        return
    mem, shape = buffer_of(memory), buffer_of(shapes)
    n, r = len(start) // 2, rows[j]
    begin = item64(shape, Shape.VARIABLES + 3) + start[r]
    keys[0, j] = signature(mem, begin, begin + length[r]) if kind[r] == JSON else np.int64(0)
    begin = item64(shape, Shape.VARIABLES + 8) + start[n + r]
    keys[1, j] = digest_of(mem, begin, length[n + r]) if kind[n + r] > NULL else np.int64(-1)
