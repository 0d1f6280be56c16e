"""Lists, dicts and what is gone over. Functions return an Outcome."""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import byte, item64, put_item64
from forge_gpu.kernels.cpu.vm_machine import (
    GOING_ON,
    MORE_CELLS,
    TO_JINJA,
    TYPE_MASK,
    burn,
    cells,
    has_cells,
    memory,
    move_cells,
    set_cell,
    set_int,
    set_text,
    set_undefined,
    take_cells,
    unit,
    value_of,
)
from forge_gpu.kernels.cpu.vm_text import after_characters, characters, characters_of
from forge_gpu.kernels.cpu.vm_values import lookup, order
from forge_gpu.kernels.cpu.vm_write import take_back, write_value
from forge_gpu.kernels.vm_layout import (
    BOOL,
    DICT,
    INT,
    ITEM_END,
    ITEM_GET,
    ITEMS,
    LIST,
    LOOP_VALUES,
    NAME_FLAGS,
    NAME_NOT_DICT,
    NAME_OF_DICT,
    NAMESPACE,
    NONE,
    SAFE,
    TEXT,
    TUPLE,
    TYPE_BITS,
    UNDEFINED,
    VIEW,
    Word,
)

INDEX0, INDEX, FIRST, LAST, LENGTH, REVINDEX, REVINDEX0, PREVITEM, NEXTITEM = range(len(LOOP_VALUES))
LONGEST_RANGE = 100_000


@inner
def move(m, target, source):
    buffer = cells(m)
    put_item64(buffer, 2 * target, item64(buffer, 2 * source))
    put_item64(buffer, 2 * target + 1, item64(buffer, 2 * source + 1))


@inner
def move_or_undefined(m, target, source):
    """target = the cell `source`, undefined where that is -1."""
    if source < 0:
        set_undefined(m, target)
    else:
        move(m, target, source)


@inner
def member(m, target, base, key, flags):
    """target = base.key, where `key` is a constant text."""
    a, w = value_of(m, base)
    kind = w & TYPE_MASK
    if kind == DICT:
        name, size = value_of(m, key)
        cell = lookup(m, a, w, name, size >> TYPE_BITS)
        if cell < 0 and flags & NAME_OF_DICT:
            return TO_JINJA
        move_or_undefined(m, target, cell)
        return GOING_ON
    if kind == NAMESPACE:
        number = (flags >> NAME_FLAGS) - 1
        move_or_undefined(m, target, a + number if number >= 0 else np.int64(-1))
        return GOING_ON
    if kind == UNDEFINED or flags & NAME_NOT_DICT or kind > TUPLE:
        return TO_JINJA
    set_undefined(m, target)
    return GOING_ON


@inner
def item(m, target, base, index, flags):
    """target = base[index]."""
    a, w = value_of(m, base)
    i, u = value_of(m, index)
    kind, count = w & TYPE_MASK, w >> TYPE_BITS
    if kind == DICT and u & TYPE_MASK == TEXT and not flags & ITEM_END:
        cell = lookup(m, a, w, i, u >> TYPE_BITS)
        if cell < 0 and not flags & ITEM_GET:
            return TO_JINJA  # it may be the name of a method
        move_or_undefined(m, target, cell)
        return GOING_ON
    if u != INT or flags & ITEM_GET:
        return TO_JINJA
    if kind == LIST or kind == TUPLE or (kind == VIEW and flags & ITEM_END):
        i = i + count if i < 0 else i
        move_or_undefined(m, target, a + i if 0 <= i < count else np.int64(-1))
        return GOING_ON
    if kind == TEXT:
        mem = memory(m)
        size = characters(mem, a, count) if i < 0 else np.int64(0)
        i = i + size if i < 0 else i
        at = after_characters(mem, a, a + count, i) if i >= 0 else a + count
        if at >= a + count:
            set_undefined(m, target)
        else:
            set_text(m, target, at, unit(mem, at))
        return GOING_ON
    return TO_JINJA


@inner
def bound(m, cell, missing, count, low, high):
    """A bound of a slice as Python clamps it to [low, high]; `missing` where it is None."""
    a, w = value_of(m, cell)
    if w & TYPE_MASK == NONE:
        return missing
    a = a + count if a < 0 else a
    return min(max(a, low), high)


@inner
def slice_(m, target, base, bounds):
    """target = base[start:stop:step], the three in consecutive cells."""
    a, w = value_of(m, base)
    kind, count = w & TYPE_MASK, w >> TYPE_BITS
    step, word_of_step = value_of(m, bounds + 2)
    for k in range(3):
        if value_of(m, bounds + k)[1] & TYPE_MASK not in (NONE, INT):
            return TO_JINJA
    if word_of_step & TYPE_MASK == NONE:
        step = np.int64(1)
    if step == 0 or (kind != LIST and kind != TUPLE and kind != TEXT):
        return TO_JINJA
    mem = memory(m)
    size = characters(mem, a, count) if kind == TEXT else count
    if step > 0:
        start = bound(m, bounds, np.int64(0), size, np.int64(0), size)
        stop = bound(m, bounds + 1, size, size, np.int64(0), size)
        length = (stop - start + step - 1) // step if stop > start else np.int64(0)
    else:
        start = bound(m, bounds, size - 1, size, np.int64(-1), size - 1)
        stop = bound(m, bounds + 1, np.int64(-1), size, np.int64(-1), size - 1)
        length = (start - stop - step - 1) // -step if start > stop else np.int64(0)
    if kind == TEXT:
        if step != 1:
            return TO_JINJA
        at = after_characters(mem, a, a + count, start)
        set_text(m, target, at, after_characters(mem, at, a + count, length) - at)
        return GOING_ON
    if step == 1:
        set_cell(m, target, a + start, length << TYPE_BITS | kind)
        return GOING_ON
    if not has_cells(m, length):
        return MORE_CELLS
    burn(m, length)
    first = take_cells(m, length)
    for k in range(length):
        move(m, first + k, a + start + k * step)
    set_cell(m, target, first, length << TYPE_BITS | kind)
    return GOING_ON


@inner
def every_other(m, a, count, offset):
    """The keys (offset 0) or values (offset 1) of a dict in cells of their own: the first, or -Outcome."""
    if not has_cells(m, count):
        return np.int64(-MORE_CELLS)
    first = take_cells(m, count)
    for k in range(count):
        move(m, first + k, a + 2 * k + offset)
    return first


@inner
def begin_loop(m, loop, source):
    """Make the cells of a loop over a value: (how many rounds, Outcome)."""
    a, w = value_of(m, source)
    kind, count = w & TYPE_MASK, w >> TYPE_BITS
    if kind == UNDEFINED:
        count = np.int64(0)
    elif kind == DICT:
        a = every_other(m, a, count, 0)
        if a < 0:
            return count, -a
        kind = LIST
    elif kind == TEXT:
        a, count = characters_of(m, a, w)
        if count < 0:
            return count, -count
        kind = LIST
    elif kind != LIST and kind != TUPLE and kind != ITEMS and kind != VIEW:
        return count, TO_JINJA
    set_cell(m, loop, a, count << TYPE_BITS | (ITEMS if kind == ITEMS else LIST))
    set_int(m, loop + 1, np.int64(0))
    return count, GOING_ON


@inner
def pair(m, loop, first, second):
    """first, second = the members of the element of a loop."""
    a, w = value_of(m, loop)
    at = value_of(m, loop + 1)[0]
    if w & TYPE_MASK == ITEMS:
        cell = a + 2 * at
    else:
        cell, w = value_of(m, a + at)
        if w != 2 << TYPE_BITS | LIST and w != 2 << TYPE_BITS | TUPLE:
            return TO_JINJA
    move(m, first, cell)
    move(m, second, cell + 1)
    return GOING_ON


@inner
def pair_as_tuple(m, target, cell):
    """target = the pair of a dict at `cell`."""
    set_cell(m, target, cell, np.int64(2 << TYPE_BITS | TUPLE))


@inner
def element(m, loop, target, at):
    """target = the element number `at` of a loop."""
    a, w = value_of(m, loop)
    if w & TYPE_MASK == ITEMS:
        pair_as_tuple(m, target, a + 2 * at)
    else:
        move(m, target, a + at)


@inner
def loop_value(m, loop, target, which):
    """target = loop.index and the like."""
    count = value_of(m, loop)[1] >> TYPE_BITS
    at = value_of(m, loop + 1)[0]
    if which == FIRST or which == LAST:
        set_cell(m, target, np.int64(at == (0 if which == FIRST else count - 1)), np.int64(BOOL))
    elif which == PREVITEM or which == NEXTITEM:
        at += 1 if which == NEXTITEM else -1
        if 0 <= at < count:
            element(m, loop, target, at)
        else:
            set_undefined(m, target)
    else:
        value = at
        if which == INDEX:
            value = at + 1
        elif which == LENGTH:
            value = count
        elif which == REVINDEX:
            value = count - at
        elif which == REVINDEX0:
            value = count - at - 1
        set_int(m, target, value)


@inner
def new_list(m, target, room, kind):
    if not has_cells(m, room):
        return MORE_CELLS
    set_cell(m, target, take_cells(m, room), kind)
    return GOING_ON


@inner
def new_list_like(m, target, source, pairs):
    """target = an empty list with room for the elements of a value, or for its pairs."""
    w = value_of(m, source)[1]
    kind, count = w & TYPE_MASK, w >> TYPE_BITS
    if kind == UNDEFINED:
        count = np.int64(0)
    elif kind == SAFE or kind < TEXT or kind > VIEW:
        return TO_JINJA
    return new_list(m, target, count * 2 if pairs else count, np.int64(ITEMS if pairs else VIEW))


@inner
def push(m, target, source):
    a, w = value_of(m, target)
    move(m, a + (w >> TYPE_BITS), source)
    set_cell(m, target, a, w + (1 << TYPE_BITS))


@inner
def push_pair(m, target, first, second):
    a, w = value_of(m, target)
    cell = a + 2 * (w >> TYPE_BITS)
    move(m, cell, first)
    move(m, cell + 1, second)
    set_cell(m, target, a, w + (1 << TYPE_BITS))


@inner
def add_lists(m, target, a, w, x, y):
    """target = a list and another; where the other follows it in the cells, no member is moved."""
    count, other = w >> TYPE_BITS, y >> TYPE_BITS
    if a + count == x:
        set_cell(m, target, a, (count + other) << TYPE_BITS | w & TYPE_MASK)
        return GOING_ON
    if not has_cells(m, count + other):
        return MORE_CELLS
    burn(m, count + other)
    first = take_cells(m, count + other)
    move_cells(m, first, a, count)
    move_cells(m, first + count, x, other)
    set_cell(m, target, first, (count + other) << TYPE_BITS | w & TYPE_MASK)
    return GOING_ON


@inner
def range_(m, target, bounds):
    """target = range(start, stop, step), the three in consecutive cells."""
    for k in range(3):
        if value_of(m, bounds + k)[1] != INT:
            return TO_JINJA
    start, stop = value_of(m, bounds)[0], value_of(m, bounds + 1)[0]
    step = value_of(m, bounds + 2)[0]
    if step == 0 or max(abs(start), abs(stop), abs(step)) > 1 << 60:
        return TO_JINJA
    if step > 0:
        count = (stop - start + step - 1) // step if stop > start else np.int64(0)
    else:
        count = (start - stop - step - 1) // -step if start > stop else np.int64(0)
    if count > LONGEST_RANGE:  # jinja refuses it
        return TO_JINJA
    if not has_cells(m, count):
        return MORE_CELLS
    burn(m, count)
    first = take_cells(m, count)
    for k in range(count):
        set_int(m, first + k, start + k * step)
    set_cell(m, target, first, count << TYPE_BITS | VIEW)
    return GOING_ON


@inner
def to_list(m, target, source):
    """target = list(source)."""
    a, w = value_of(m, source)
    kind, count = w & TYPE_MASK, w >> TYPE_BITS
    if kind == DICT:
        a = every_other(m, a, count, 0)
        if a < 0:
            return -a
    elif kind == TEXT:
        a, count = characters_of(m, a, w)
        if count < 0:
            return -count
    elif kind == ITEMS:
        if not has_cells(m, count):
            return MORE_CELLS
        first = take_cells(m, count)
        for k in range(count):
            pair_as_tuple(m, first + k, a + 2 * k)
        a = first
    elif kind == UNDEFINED:
        count = np.int64(0)
    elif kind != LIST and kind != TUPLE and kind != VIEW:
        return TO_JINJA
    set_cell(m, target, a, count << TYPE_BITS | LIST)
    return GOING_ON


@inner
def is_ascii(mem, start, length):
    for k in range(length):
        if byte(mem, start + k) >= 0x80:
            return False
    return True


@inner
def dictsort(m, target, source):
    """target = the pairs of a dict, sorted by key; cases alike, keys that are equal so in their order."""
    a, w = value_of(m, source)
    count = w >> TYPE_BITS
    if w & TYPE_MASK != DICT or not burn(m, count * count // 16):
        return TO_JINJA
    if not has_cells(m, 2 * count):
        return MORE_CELLS
    first = take_cells(m, 2 * count)
    for k in range(count):
        start, key = value_of(m, a + 2 * k)
        if not is_ascii(memory(m), start, key >> TYPE_BITS):
            return TO_JINJA
        at = first + 2 * k
        while at > first:
            before, other = value_of(m, at - 2)
            if order(m, before, other, start, key, True) <= 0:
                break
            move_cells(m, at, at - 2, 2)
            at -= 2
        move_cells(m, at, a + 2 * k, 2)
    set_cell(m, target, first, count << TYPE_BITS | ITEMS)
    return GOING_ON


@inner
def reverse(m, target, source):
    """target = what is gone over when a value is gone over from its end."""
    a, w = value_of(m, source)
    kind, count = w & TYPE_MASK, w >> TYPE_BITS
    if kind != LIST and kind != TUPLE and kind != VIEW:
        return TO_JINJA
    if not has_cells(m, count):
        return MORE_CELLS
    burn(m, count)
    first = take_cells(m, count)
    for k in range(count):
        move(m, first + k, a + count - 1 - k)
    set_cell(m, target, first, count << TYPE_BITS | VIEW)
    return GOING_ON


@inner
def join(m, target, source, between, texts_only):
    """target = the elements of a value, joined by a text; as texts, or `texts_only`, which must be texts."""
    a, w = value_of(m, source)
    b, v = value_of(m, between)
    kind, count = w & TYPE_MASK, w >> TYPE_BITS
    if v & TYPE_MASK != TEXT or (kind != LIST and kind != TUPLE and kind != VIEW):
        return TO_JINJA
    begin = item64(m, Word.POSITION)
    if not burn(m, count):
        return TO_JINJA
    for k in range(count):
        if k:
            outcome = write_value(m, b, v)
            if outcome != GOING_ON:
                return outcome
        x, y = value_of(m, a + k)
        if texts_only and y & TYPE_MASK != TEXT:
            return TO_JINJA
        outcome = write_value(m, x, y)
        if outcome != GOING_ON:
            return outcome
    start, length = take_back(m, begin)
    if length < 0:
        return -length
    set_text(m, target, start, length)
    return GOING_ON
