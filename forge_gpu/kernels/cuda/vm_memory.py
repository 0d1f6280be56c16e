"""What the template VM's functions call to touch memory, for a thread of a device: the names of
`cpu/memory.py`, `cpu/vm_machine.py` and `cpu/vm_find.py`, in blocks of a word, which it has in a register.
"""

import numpy as np

from forge_gpu.kernels.cuda.buffers import (
    aligned_word,
    apart,
    byte,
    item64,
    put_aligned_word,
    put_byte,
    put_item64,
)
from forge_gpu.kernels.cuda.device import function
from forge_gpu.kernels.cuda.jsontext import BACKSLASHES, QUOTES
from forge_gpu.kernels.cuda.memory import EACH, HIGH_BITS, LAST_BIT, ONE, SEVEN, THREE
from forge_gpu.kernels.vm_layout import Word

BLOCK = 8
LOW_BITS, BELOW_SPACE = ~HIGH_BITS, EACH * np.uint64(0x60)
GATHER = np.uint64(0x0102040810204080)
"""Times a word whose bytes are 0 or 1: its highest byte has a bit for each, the first one's lowest."""
CELLS = int(Word.CELLS)


@function
def word(buffer, i):
    """The eight bytes at byte i, little-endian, as uint64: two aligned loads, up to 15 bytes from i on."""
    odd = (buffer[0] + np.uint64(i)) & SEVEN
    first = np.int64(i) - np.int64(odd)
    shift = odd << THREE
    return aligned_word(buffer, first) >> shift | (aligned_word(buffer, first + 8) << ONE) << (
        LAST_BIT - shift
    )


@function
def half(buffer, i):
    return word(buffer, i) & np.uint64(0xFFFFFFFF)


@function
def put_half(buffer, i, value):
    for k in range(4):
        put_byte(buffer, i + k, np.int64(value >> np.uint64(8 * k) & np.uint64(255)))


@function
def check(buffer, i, count):
    """Nothing: on a device no access is compared with its buffer."""


@apart
@function
def copy(target, at, source, start, count):
    """`count` bytes, and nothing beside them."""
    done = np.int64(0)
    while done < count and (target[0] + np.uint64(at + done)) & SEVEN:
        put_byte(target, at + done, byte(source, start + done))
        done += 1
    while done + 8 <= count:
        put_aligned_word(target, at + done, word(source, start + done))
        done += 8
    while done < count:
        put_byte(target, at + done, byte(source, start + done))
        done += 1


copy_exactly = copy


@function
def copy_block(target, at, source, start):
    value = word(source, start)
    for k in range(BLOCK):
        put_byte(target, at + k, np.int64(value & np.uint64(255)))
        value >>= np.uint64(8)


@function
def _zeros(value):
    """The highest bit of each byte of a word that is 0."""
    return ~(((value & LOW_BITS) + LOW_BITS) | value) & HIGH_BITS


@function
def _mask(highest):
    """int64 whose bit k is the highest bit of byte k."""
    return np.int64((highest >> SEVEN) * GATHER >> np.uint64(56))


@function
def mask_json_special(buffer, i):
    value = word(buffer, i)
    controls = ~(((value & LOW_BITS) + BELOW_SPACE) | value) & HIGH_BITS
    return _mask(_zeros(value ^ QUOTES) | _zeros(value ^ BACKSLASHES) | controls)


@function
def mask_backslash(buffer, i):
    return _mask(_zeros(word(buffer, i) ^ BACKSLASHES))


@function
def mask_not_ascii(buffer, i):
    return _mask(word(buffer, i) & HIGH_BITS)


@function
def mask_byte_or_backslash(buffer, i, value):
    found = word(buffer, i)
    return _mask(_zeros(found ^ EACH * np.uint64(value)) | _zeros(found ^ BACKSLASHES))


@function
def buffer_at(m, which):
    return np.uint64(item64(m, which)), item64(m, which + 1)


@function
def value_of(m, cell):
    base = buffer_at(m, CELLS)
    return item64(base, 2 * cell), item64(base, 2 * cell + 1)


@function
def set_cell(m, cell, a, w):
    base = buffer_at(m, CELLS)
    put_item64(base, 2 * cell, a)
    put_item64(base, 2 * cell + 1, w)
