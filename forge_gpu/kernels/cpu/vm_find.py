"""Texts searched. A body is searched at the beginnings of characters: an n may be half of an escape."""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.memory import (
    BLOCK,
    BLOCK_OF_BYTES,
    BUFFER,
    I8,
    I32,
    I64,
    byte,
    int64_of,
    place,
    splat,
    trailing_zeros,
)
from forge_gpu.kernels.cpu.vm_machine import same_bytes
from forge_gpu.kernels.lowering import intrinsic, ir, types


@intrinsic
def mask_byte_or_backslash(typing_context, buffer, i, value):
    """int64 whose bit k says whether byte i + k is `value` or a backslash."""

    def generate(context, builder, signature, arguments):
        buffer, i, value = arguments
        block = builder.load(place(context, builder, buffer, i, int64_of(BLOCK), BLOCK_OF_BYTES), align=1)
        nothing = ir.Constant(BLOCK_OF_BYTES, ir.Undefined)
        one = builder.insert_element(nothing, builder.trunc(value, I8), ir.Constant(I32, 0))
        every = builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(I32, BLOCK), [0] * BLOCK))
        either = builder.or_(
            builder.icmp_unsigned("==", block, every), builder.icmp_unsigned("==", block, splat(92))
        )
        return builder.bitcast(either, I64)

    return types.int64(BUFFER, types.int64, types.int64), generate


@inner
def find_text(mem, start, length, text, size):
    """The first place of a text (`size` bytes at `text`) in another, -1 where there is none."""
    if size == 0:
        return start
    last = start + length - size
    first = byte(mem, text)
    p = start
    while p <= last:
        mask = mask_byte_or_backslash(mem, p, first)
        if mask == 0:
            p += BLOCK
            continue
        p += trailing_zeros(mask)
        if p > last:
            break
        c = byte(mem, p)
        if c == first and same_bytes(mem, p, text, size):
            return p
        if c == 92:
            p += 6 if byte(mem, p + 1) == 117 else 2
        else:
            p += 1
    return np.int64(-1)


@inner
def find_last(mem, start, length, text, size):
    """The last place of a text that is not empty in another, -1 where there is none."""
    result = np.int64(-1)
    p, end = start, start + length
    while True:
        p = find_text(mem, p, end - p, text, size)
        if p < 0:
            return result
        result = p
        p += 6 if byte(mem, p) == 92 and byte(mem, p + 1) == 117 else 2 if byte(mem, p) == 92 else 1
