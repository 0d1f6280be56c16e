"""The messages of a row as a chat template is given them: without null keys, with reasoning under every name.

Messages of other shapes than `role` and `content` (ShareGPT, parts with a `value`) are Jinja's: they are made
anew in Python.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import item64
from forge_gpu.kernels.cpu.vm_machine import (
    GOING_ON,
    MORE_CELLS,
    TO_JINJA,
    TYPE_MASK,
    cells,
    has_cells,
    memory,
    move_cells,
    same_bytes,
    set_cell,
    take_cells,
    value_of,
)
from forge_gpu.kernels.cpu.vm_values import lookup
from forge_gpu.kernels.vm_layout import (
    DICT,
    LIST,
    NAME_ASSISTANT,
    NAME_CONTENT,
    NAME_REASONING,
    NAME_ROLE,
    NAME_THINKING,
    NAME_VALUE,
    NONE,
    REASONING,
    TEXT,
    TYPE_BITS,
    Word,
)


@inner
def find_key(m, a, w, name):
    """The cell of a message's value for one of the fixed names, -1 where it has none."""
    text, size = value_of(m, item64(m, Word.NAMES) + name)
    return lookup(m, a, w, text, size >> TYPE_BITS)


@inner
def drop_nulls(m, a, w):
    """The word of a dict whose null members are taken out, in place."""
    buffer = cells(m)
    retained = np.int64(0)
    for k in range(w >> TYPE_BITS):
        if item64(buffer, 2 * (a + 2 * k + 1) + 1) & TYPE_MASK == NONE:
            continue
        if retained < k:
            move_cells(m, a + 2 * retained, a + 2 * k, 2)
        retained += 1
    return retained << TYPE_BITS | DICT


@inner
def has_value_part(m, a, w):
    """Is a member of a content list a part with a `value`?"""
    for k in range(w >> TYPE_BITS):
        x, y = value_of(m, a + k)
        if y & TYPE_MASK == DICT and find_key(m, x, y, NAME_VALUE) >= 0:
            return True
    return False


@inner
def put_pair(m, at, key, source):
    """The pair (a fixed name, the value of cell `source`) in the cells at `at`; the place after it."""
    move_cells(m, at, item64(m, Word.NAMES) + key, 1)
    move_cells(m, at + 1, source, 1)
    return at + 2


@inner
def with_reasoning(m, cell, a, w):
    """Give the message in `cell` its reasoning, if it has one, as `reasoning_content`, and as `thinking`
    where it had none of that name: an Outcome."""
    source = np.int64(-1)
    for name in range(NAME_REASONING, NAME_REASONING + REASONING):
        if source < 0:
            source = find_key(m, a, w, name)
    if source < 0:
        return GOING_ON
    count = w >> TYPE_BITS
    if not has_cells(m, 2 * count + 4):
        return MORE_CELLS
    first = item64(m, Word.TOP)
    thinking = find_key(m, a, w, NAME_THINKING)
    content = find_key(m, a, w, NAME_REASONING)
    at = put_pair(m, first, NAME_THINKING, source if thinking < 0 else thinking)
    for k in range(count):
        value = a + 2 * k + 1
        if value == thinking:
            continue
        if value == content:
            at = put_pair(m, at, NAME_REASONING, source)
        else:
            move_cells(m, at, value - 1, 2)
            at += 2
    if content < 0:
        at = put_pair(m, at, NAME_REASONING, source)
    take_cells(m, at - first)
    set_cell(m, cell, first, (at - first) >> 1 << TYPE_BITS | DICT)
    return GOING_ON


@inner
def rename_role(m, role):
    """Give a role cell the name that the user's mapping has for it."""
    first, count = item64(m, Word.RENAMED), item64(m, Word.RENAMED + 1)
    a, w = value_of(m, role)
    for k in range(count):
        y = value_of(m, first + 2 * k)[1]
        if w == y and lookup(m, first + 2 * k, np.int64(1 << TYPE_BITS | DICT), a, w >> TYPE_BITS) >= 0:
            move_cells(m, role, first + 2 * k + 1, 1)
            return


@inner
def prepare_messages(m, a, w):
    """Make the parsed messages what the template is given, in place: an Outcome."""
    if w & TYPE_MASK != LIST or w >> TYPE_BITS == 0:
        return TO_JINJA
    for k in range(w >> TYPE_BITS):
        x, y = value_of(m, a + k)
        if y & TYPE_MASK != DICT:
            return TO_JINJA
        y = drop_nulls(m, x, y)
        set_cell(m, a + k, x, y)
        role = find_key(m, x, y, NAME_ROLE)
        if role < 0 or value_of(m, role)[1] & TYPE_MASK != TEXT:
            return TO_JINJA
        if item64(m, Word.RENAMED + 1):
            rename_role(m, role)
        content = find_key(m, x, y, NAME_CONTENT)
        if content < 0:
            if find_key(m, x, y, NAME_VALUE) >= 0:
                return TO_JINJA
        else:
            b, v = value_of(m, content)
            if v & TYPE_MASK == LIST and has_value_part(m, b, v):
                return TO_JINJA
        outcome = with_reasoning(m, a + k, x, y)
        if outcome != GOING_ON:
            return outcome
    return GOING_ON


@inner
def ends_with_assistant(m, a, w):
    """Is the last message the assistant's?"""
    x, y = value_of(m, a + (w >> TYPE_BITS) - 1)
    role = find_key(m, x, y, NAME_ROLE)
    a, w = value_of(m, role)
    text, size = value_of(m, item64(m, Word.NAMES) + NAME_ASSISTANT)
    return w == size and same_bytes(memory(m), a, text, size >> TYPE_BITS)
