"""The code of a template, run for one row: one branch an operation."""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import item32, item64, put_item64
from forge_gpu.kernels.cpu.vm_cache import end_memo, recall
from forge_gpu.kernels.cpu.vm_json import write_json
from forge_gpu.kernels.cpu.vm_lists import (
    add_lists,
    begin_loop,
    dictsort,
    element,
    every_other,
    item,
    join,
    loop_value,
    member,
    move,
    new_list,
    new_list_like,
    pair,
    push,
    push_pair,
    range_,
    reverse,
    slice_,
    to_list,
)
from forge_gpu.kernels.cpu.vm_machine import (
    GOING_ON,
    MORE_CELLS,
    MORE_STACK,
    MORE_TEXT,
    TO_JINJA,
    TYPE_MASK,
    buffer_at,
    burn,
    cells,
    copy_text,
    has_cells,
    has_text_room,
    memory,
    set_cell,
    set_int,
    set_text,
    set_undefined,
    take_cells,
    value_of,
)
from forge_gpu.kernels.cpu.vm_numbers import to_int
from forge_gpu.kernels.cpu.vm_text import (
    change_case,
    characters,
    ends_with,
    replace,
    split,
    starts_with,
    strip,
)
from forge_gpu.kernels.cpu.vm_values import (
    UNKNOWN,
    WORD_OF_FUEL,
    compare,
    contains,
    equal,
    is_text,
    passes,
    truth,
)
from forge_gpu.kernels.cpu.vm_write import as_text, take_back, write_value
from forge_gpu.kernels.vm_layout import (
    BOOL,
    DICT,
    INT,
    ITEMS,
    LIST,
    MACRO,
    MARK_TURN,
    MAX_CALLS,
    NAMESPACE,
    SAFE,
    TEXT,
    TUPLE,
    TYPE_BITS,
    UNDEFINED,
    VIEW,
    Op,
    Outcome,
    Word,
)

DONE, RAISED = int(Outcome.DONE), int(Outcome.RAISED)
LARGE, FACTOR = 1 << 60, 1 << 30  # sums of smaller numbers, and products, stay inside 64 bits


@inner
def set_answer(m, target, answer):
    """target = a truth; an Outcome."""
    if answer == UNKNOWN:
        return TO_JINJA
    set_cell(m, target, np.int64(answer), np.int64(BOOL))
    return GOING_ON


@inner
def add(m, target, one, other):
    a, w = value_of(m, one)
    x, y = value_of(m, other)
    kind = w & TYPE_MASK
    if w == INT and y == INT:
        if abs(a) > LARGE or abs(x) > LARGE:
            return TO_JINJA
        set_int(m, target, a + x)
        return GOING_ON
    if kind != y & TYPE_MASK:
        return TO_JINJA
    if kind == LIST or kind == TUPLE:
        return add_lists(m, target, a, w, x, y)
    if kind != TEXT:
        return TO_JINJA
    length, size = w >> TYPE_BITS, y >> TYPE_BITS
    end = item64(m, Word.TEXT)
    if not has_text_room(m, length + size):
        return MORE_TEXT
    if a + length != end:  # a text that ends where the texts end is only gone on with
        burn(m, length // WORD_OF_FUEL)
        a = end
        copy_text(m, value_of(m, one)[0], length)
    copy_text(m, x, size)
    set_text(m, target, a, length + size)
    return GOING_ON


@inner
def arithmetic(m, op, target, one, other):
    a, w = value_of(m, one)
    x, y = value_of(m, other)
    if w != INT or y != INT or abs(a) > FACTOR or abs(x) > FACTOR:
        return TO_JINJA
    if op == Op.SUB:
        set_int(m, target, a - x)
    elif op == Op.MUL:
        set_int(m, target, a * x)
    elif x <= 0:
        return TO_JINJA
    elif op == Op.MOD:
        set_int(m, target, (a % x + x) % x)
    else:
        set_int(m, target, (a - (a % x + x) % x) // x)
    return GOING_ON


@inner
def strip_value(m, target, source, sides, which):
    a, w = value_of(m, source)
    start, size = np.int64(0), np.int64(-1)
    if which >= 0:
        start, size = value_of(m, which)
        if size & TYPE_MASK != TEXT or w & TYPE_MASK != TEXT:
            return TO_JINJA
        size >>= TYPE_BITS
        burn(m, (w >> TYPE_BITS) * (size + 1) // WORD_OF_FUEL)
    if not is_text(w):
        return TO_JINJA
    a, length = strip(memory(m), a, w >> TYPE_BITS, sides, start, size)
    set_cell(m, target, a, length << TYPE_BITS | w & TYPE_MASK)
    return GOING_ON


@inner
def length_of(m, target, source):
    a, w = value_of(m, source)
    kind, count = w & TYPE_MASK, w >> TYPE_BITS
    if is_text(w):
        burn(m, count // WORD_OF_FUEL)
        count = characters(memory(m), a, count)
    elif kind == UNDEFINED:
        count = np.int64(0)
    elif kind < LIST or kind > VIEW:
        return TO_JINJA
    set_int(m, target, count)
    return GOING_ON


@inner
def affix(m, target, source, other, at_end):
    a, w = value_of(m, source)
    x, y = value_of(m, other)
    if not is_text(w) or not is_text(y):
        return TO_JINJA
    mem = memory(m)
    if at_end:
        answer = ends_with(mem, a, w >> TYPE_BITS, x, y >> TYPE_BITS)
    else:
        answer = starts_with(mem, a, w >> TYPE_BITS, x, y >> TYPE_BITS)
    set_cell(m, target, np.int64(answer), np.int64(BOOL))
    return GOING_ON


@inner
def to_text(m, target, source, safe):
    a, w = value_of(m, source)
    a, w = as_text(m, a, w)
    if w < 0:
        return -w
    set_cell(m, target, a, w >> TYPE_BITS << TYPE_BITS | (SAFE if safe else w & TYPE_MASK))
    return GOING_ON


@inner
def new_namespace(m, target, attributes):
    if not has_cells(m, attributes):
        return MORE_CELLS
    first = take_cells(m, attributes)
    for k in range(attributes):
        set_undefined(m, first + k)
    set_cell(m, target, first, np.int64(NAMESPACE))
    return GOING_ON


@inner
def dict_part(m, target, source, offset):
    """target = the keys (0) or values (1) of a dict."""
    a, w = value_of(m, source)
    if w & TYPE_MASK != DICT:
        return TO_JINJA
    first = every_other(m, a, w >> TYPE_BITS, offset)
    if first < 0:
        return -first
    set_cell(m, target, first, w >> TYPE_BITS << TYPE_BITS | VIEW)
    return GOING_ON


@inner
def split_value(m, target, source, between, most):
    a, w = value_of(m, source)
    start, size = np.int64(0), np.int64(-1)
    if between >= 0:
        start, size = value_of(m, between)
        if size & TYPE_MASK != TEXT:
            return TO_JINJA
        size >>= TYPE_BITS
    if w & TYPE_MASK != TEXT:
        return TO_JINJA
    return split(m, target, a, w, start, size, most)


@inner
def save_cells(m, saved, low, high):
    """Put cells on the stack of those saved, from word `saved` on; an Outcome."""
    stack, buffer = buffer_at(m, Word.SAVED), cells(m)
    if 8 * (saved + 2 * (high - low)) > stack[1]:
        return TO_JINJA
    burn(m, high - low)
    for k in range(2 * (high - low)):
        put_item64(stack, saved + k, item64(buffer, 2 * low + k))
    return GOING_ON


@inner
def mark(m, what):
    """Note a place in the output, and what it is: two words."""
    marks = buffer_at(m, Word.MARKS)
    count = item64(m, Word.MARKED)
    if 8 * (count + 2) > marks[1]:
        return MORE_STACK
    put_item64(marks, count, item64(m, Word.POSITION) - item64(m, Word.BEGIN))
    put_item64(marks, count + 1, np.int64(what))
    put_item64(m, Word.MARKED, count + 2)
    return GOING_ON


@inner
def message_number(m, cell, current):
    """The number of the message that a cell has, `current` for what is none."""
    a, w = value_of(m, cell)
    first, count = item64(m, Word.MESSAGES), item64(m, Word.MESSAGES + 1)
    if w & TYPE_MASK != DICT or w == DICT:
        return current
    for k in range(count):
        at = (current + 1 + k) % count  # most often the next
        if value_of(m, first + at)[0] == a:
            return at
    return current


@inner
def turn(m, cell, how):
    """Note whose turn is written, where that changes."""
    current = item64(m, Word.CURRENT)
    if how == 1:
        set_int(m, cell, current)
        return GOING_ON
    now = value_of(m, cell)[0] if how == 2 else message_number(m, cell, current)
    if now == current:
        return GOING_ON
    put_item64(m, Word.CURRENT, now)
    return mark(m, MARK_TURN + 1 + now)


@inner
def execute(m):
    """Run the template for the row whose variables stand in their cells: DONE, or what ends it."""
    code = buffer_at(m, Word.CODE)
    calls = buffer_at(m, Word.CALLS)
    ip = np.int64(0)
    depth = np.int64(0)
    saved = np.int64(0)
    outcome = GOING_ON
    while True:
        op = item32(code, ip)
        a = item32(code, ip + 1)
        b = item32(code, ip + 2)
        c = item32(code, ip + 3)
        d = item32(code, ip + 4)
        ip += 5
        if op == Op.MOVE:
            move(m, a, b)
        elif op == Op.WRITE:
            x, w = value_of(m, a)
            outcome = write_value(m, x, w)
        elif op == Op.WRITE_TEXT:
            x, w = value_of(m, a)
            outcome = write_value(m, x, w) if w & TYPE_MASK == TEXT else TO_JINJA
        elif op == Op.MEMBER:
            outcome = member(m, a, b, c, d)
        elif op == Op.JUMP:
            ip = 5 * d
        elif op == Op.JUMP_IF:
            x, w = value_of(m, a)
            if truth(m, x, w) == c:
                ip = 5 * d
        elif op == Op.JUMP_EQUAL:
            x, w = value_of(m, a)
            y, v = value_of(m, b)
            answer = equal(m, x, w, y, v)
            if answer == UNKNOWN:
                outcome = TO_JINJA
            elif answer == c:
                ip = 5 * d
        elif op == Op.JUMP_TEST:
            x, w = value_of(m, a)
            if passes(x, w, b) == c:
                ip = 5 * d
        elif op == Op.JUMP_IN:
            x, w = value_of(m, a)
            y, v = value_of(m, b)
            answer = contains(m, x, w, y, v)
            if answer == UNKNOWN:
                outcome = TO_JINJA
            elif answer == c:
                ip = 5 * d
        elif op == Op.NEXT:
            at = value_of(m, a + 1)[0] + 1
            if at < value_of(m, a)[1] >> TYPE_BITS:
                set_int(m, a + 1, at)
                ip = 5 * d
                if not burn(m, 1):
                    outcome = TO_JINJA
        elif op == Op.LOOP:
            count, outcome = begin_loop(m, a, b)
            if count == 0:
                ip = 5 * d
        elif op == Op.ELEMENT:
            element(m, a, b, value_of(m, a + 1)[0])
        elif op == Op.PAIR:
            outcome = pair(m, a, b, c)
        elif op == Op.LOOP_VALUE:
            loop_value(m, a, b, c)
        elif op == Op.WRITE_JSON:
            x, w = value_of(m, a)
            outcome = write_json(m, x, w, b, c)
        elif op == Op.ITEM:
            outcome = item(m, a, b, c, d)
        elif op == Op.SLICE:
            outcome = slice_(m, a, b, c)
        elif op == Op.EQUAL:
            x, w = value_of(m, b)
            y, v = value_of(m, c)
            answer = equal(m, x, w, y, v)
            outcome = set_answer(m, a, UNKNOWN if answer == UNKNOWN else int(answer == d))
        elif op == Op.IN:
            x, w = value_of(m, b)
            y, v = value_of(m, c)
            answer = contains(m, x, w, y, v)
            outcome = set_answer(m, a, UNKNOWN if answer == UNKNOWN else int(answer == d))
        elif op == Op.COMPARE:
            x, w = value_of(m, b)
            y, v = value_of(m, c)
            outcome = set_answer(m, a, compare(m, x, w, y, v, d))
        elif op == Op.TEST:
            x, w = value_of(m, b)
            outcome = set_answer(m, a, passes(x, w, c))
        elif op == Op.NOT:
            x, w = value_of(m, b)
            outcome = set_answer(m, a, 1 - truth(m, x, w))
        elif op == Op.ADD:
            outcome = add(m, a, b, c)
        elif Op.SUB <= op <= Op.DIV:
            outcome = arithmetic(m, op, a, b, c)
        elif op == Op.STRIP:
            outcome = strip_value(m, a, b, c, d)
        elif op == Op.CAPTURE:
            set_int(m, a, item64(m, Word.POSITION))
        elif op == Op.CAPTURED:
            x, w = take_back(m, value_of(m, b)[0])
            if w < 0:
                outcome = -w
            else:
                set_text(m, a, x, w)
        elif op == Op.JUMP_GIVEN:
            x, w = value_of(m, a)
            if w != UNDEFINED or x == 0:
                ip = 5 * d
        elif op == Op.JUMP_MACRO:
            x, w = value_of(m, a)
            if w == MACRO and x == c:
                ip = 5 * d
        elif op == Op.CALL:
            if depth >= MAX_CALLS or not burn(m, 1):
                outcome = TO_JINJA
            else:
                put_item64(calls, depth, ip)
                depth += 1
                ip = 5 * d
        elif op == Op.RETURN:
            depth -= 1
            ip = item64(calls, depth)
        elif op == Op.SAVE:
            outcome = save_cells(m, saved, a, b)
            saved += 2 * (b - a)
        elif op == Op.RESTORE:
            saved -= 2 * (b - a)
            stack, buffer = buffer_at(m, Word.SAVED), cells(m)
            for k in range(2 * (b - a)):
                put_item64(buffer, 2 * a + k, item64(stack, saved + k))
        elif op == Op.LENGTH:
            outcome = length_of(m, a, b)
        elif op == Op.SPLIT:
            outcome = split_value(m, a, b, c, d)
        elif op == Op.AFFIX:
            outcome = affix(m, a, b, c, d)
        elif op == Op.REPLACE:
            outcome = replace(m, a, b, c, d)
        elif op == Op.CASE:
            x, w = value_of(m, b)
            outcome = change_case(m, a, x, w, c) if is_text(w) else TO_JINJA
        elif op == Op.TO_INT:
            outcome = to_int(m, a, b, c)
        elif op == Op.JOIN:
            outcome = join(m, a, b, c, d)
        elif op == Op.TO_TEXT:
            outcome = to_text(m, a, b, c)
        elif op == Op.DEFAULT:
            x, w = value_of(m, b)
            move(m, a, c if w == UNDEFINED or (d == 1 and truth(m, x, w) == 0) else b)
        elif op == Op.NAMESPACE:
            outcome = new_namespace(m, a, b)
        elif op == Op.SET_ATTRIBUTE:
            x, w = value_of(m, a)
            if w == NAMESPACE:
                move(m, x + b, c)
            else:
                outcome = TO_JINJA
        elif op == Op.LIST:
            outcome = new_list(m, a, b, c)
        elif op == Op.LIST_LIKE:
            outcome = new_list_like(m, a, b, c)
        elif op == Op.PUSH:
            push(m, a, b)
        elif op == Op.PUSH_PAIR:
            push_pair(m, a, b, c)
        elif op == Op.RANGE:
            outcome = range_(m, a, b)
        elif op == Op.ITEMS:
            x, w = value_of(m, b)
            if w & TYPE_MASK == DICT or (w == UNDEFINED and c):
                set_cell(m, a, x, w >> TYPE_BITS << TYPE_BITS | ITEMS)
            else:
                outcome = TO_JINJA
        elif op == Op.KEYS:
            outcome = dict_part(m, a, b, c)
        elif op == Op.TO_LIST:
            outcome = to_list(m, a, b)
        elif op == Op.SORT:
            outcome = dictsort(m, a, b)
        elif op == Op.REVERSE:
            outcome = reverse(m, a, b)
        elif op == Op.MARK:
            outcome = mark(m, a)
        elif op == Op.ROUND:
            outcome = turn(m, a, c)
        elif op == Op.MEMO:
            known, outcome = recall(m, a)
            if known:
                ip = 5 * d
        elif op == Op.MEMO_END:
            end_memo(m, a)
        elif op == Op.END:
            return DONE
        else:
            outcome = RAISED if op == Op.RAISE else TO_JINJA
        if outcome != GOING_ON or item64(m, Word.FUEL) < 0:
            put_item64(m, Word.PLACE, ip // 5 - 1)
            return outcome if outcome != GOING_ON else TO_JINJA
