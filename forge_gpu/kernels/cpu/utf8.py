"""Whether bytes are UTF-8. See reference/utf8.py.

Sixty-four bytes at a time, on bit masks: the places that must hold continuation bytes, by the lead
bytes before them, are exactly the places that do; and the four lead bytes whose second byte has narrower
bounds (Unicode 15, table 3-7) are looked at where there are any. Bytes read: each once.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.masks import utf8_bounds_masks, utf8_lead_masks
from forge_gpu.kernels.cpu.memory import BLOCK, mask_not_ascii, whole
from forge_gpu.kernels.layout import U8, Spans


@inner
def is_utf8(buffer, start, end):
    """Whether the bytes [start, end) of the buffer are UTF-8."""
    required = 0  # continuation bytes that the last block asks of this one
    e0 = ed = f0 = f4 = 0  # 1 where the block before ended in that byte
    i = start
    while i < end:
        if required == 0 and i + BLOCK <= end and mask_not_ascii(buffer, i) == 0:
            i += BLOCK
            continue
        high, lead, lead3, lead4, narrow = utf8_lead_masks(buffer, i)
        inside = -1 if end - i >= BLOCK else (1 << (end - i)) - 1
        high &= inside
        if high == 0:
            if required != 0:
                return False
            e0 = ed = f0 = f4 = 0
            i += BLOCK
            continue
        lead &= inside
        lead3 &= inside
        lead4 &= inside
        expected = required | (lead << 1) | (lead3 << 2) | (lead4 << 3)
        fault = expected ^ (high ^ lead)
        if narrow | e0 | ed | f0 | f4 != 0:
            overlong, too_large, is_e0, is_ed, is_f0, is_f4, below_90, below_a0 = utf8_bounds_masks(buffer, i)
            fault |= overlong | too_large | ((is_e0 << 1) | e0) & below_a0 | ((is_ed << 1) | ed) & ~below_a0
            fault |= ((is_f0 << 1) | f0) & below_90 | ((is_f4 << 1) | f4) & ~below_90
            e0, ed, f0, f4 = (is_e0 >> 63) & 1, (is_ed >> 63) & 1, (is_f0 >> 63) & 1, (is_f4 >> 63) & 1
        if fault & inside != 0:
            return False
        if end - i < BLOCK:
            return expected & ~inside == 0
        required = (lead >> 63) & 1 | (lead3 >> 62) & 3 | (lead4 >> 61) & 7
        i += BLOCK
    return required == 0


@kernel
def _valid_utf8(buffer, start, length, valid):
    for i in range(len(start)):
        valid[i] = is_utf8(buffer, start[i], start[i] + length[i])


def valid_utf8(column: Spans) -> U8:
    """uint8[n]: 1 where the bytes of the value are UTF-8, whatever its kind (NULL and ABSENT have none)."""
    data = np.ascontiguousarray(column.data)
    valid = np.empty(len(column), np.uint8)
    _valid_utf8(whole(data), column.start, column.length, valid)
    return valid
