"""Texts as numbers, as jinja's filter `int` reads them."""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import byte
from forge_gpu.kernels.cpu.vm_lists import move
from forge_gpu.kernels.cpu.vm_machine import (
    GOING_ON,
    TO_JINJA,
    TYPE_MASK,
    burn,
    memory,
    set_int,
    unit,
    value_of,
)
from forge_gpu.kernels.cpu.vm_values import WORD_OF_FUEL
from forge_gpu.kernels.vm_layout import FLOAT, TEXT, TYPE_BITS

SURE_DIGITS = 15  # a double has so many: cut off at the point it is the number before the point
MOST_DIGITS = 18  # of an integer


@inner
def blank_size(mem, p):
    """Bytes of the blank at p, as int() has it of ASCII; 0 where there is none."""
    c = byte(mem, p)
    if c == 32:
        return 1
    c = byte(mem, p + 1) if c == 92 else 0
    return 2 if c == 110 or c == 116 or c == 114 or c == 102 else 0


@inner
def has_no_number(mem, p, end):
    """Is there a character that stands in no number, however Python spells one? Then int() and float() of
    the text fail."""
    while p < end:
        c = byte(mem, p)
        letter = c | 32
        if c == 92:
            c = byte(mem, p + 1)
            if c == 34 or c == 92 or c == 98:
                return True
        elif 97 <= letter <= 122:
            if letter not in (97, 101, 102, 105, 110, 116, 121):  # of infinity, nan and 1e5
                return True
        elif c < 0x7F and c != 32 and not 48 <= c <= 57 and c not in (43, 45, 46, 95):
            return True
        p += unit(mem, p)
    return False


@inner
def to_int(m, target, source, default):
    """target = int(a text or float), cut off at the point; `default` for what is no number. What is spelled
    otherwise than with digits and a point, or is longer, is Jinja's."""
    a, w = value_of(m, source)
    if w & TYPE_MASK != TEXT and w & TYPE_MASK != FLOAT:
        return TO_JINJA
    mem = memory(m)
    p, end = a, a + (w >> TYPE_BITS)
    burn(m, (end - p) // WORD_OF_FUEL)
    while p < end and blank_size(mem, p):
        p += blank_size(mem, p)
    if p == end:
        move(m, target, default)
        return GOING_ON
    negative = byte(mem, p) == 45
    if negative or byte(mem, p) == 43:
        p += 1
    number, digits, after = np.int64(0), 0, False
    while p < end and digits <= MOST_DIGITS:
        c = byte(mem, p)
        if 48 <= c <= 57:
            number = number if after else 10 * number + (c - 48)
            digits += 1
        elif c == 46 and not after:
            after = True
        else:
            break
        p += 1
    while p < end and blank_size(mem, p):
        p += blank_size(mem, p)
    if p == end and 0 < digits <= (SURE_DIGITS if after else MOST_DIGITS):
        set_int(m, target, -number if negative else number)
    elif has_no_number(mem, a, end):
        move(m, target, default)
    else:
        return TO_JINJA
    return GOING_ON
