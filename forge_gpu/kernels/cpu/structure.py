"""Where the elements of a JSON array end. See reference/structure.py for the rule.

Bits instead of bytes, after Langdale and Lemire, "Parsing gigabytes of JSON per second" (2019): a prefix
xor over the quotes that count says what is inside a string. Bytes read: each once.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.masks import count_ones, structure_masks
from forge_gpu.kernels.cpu.memory import BLOCK, trailing_zeros, whole
from forge_gpu.kernels.layout import CUT, ENDED, I64, MORE, U8


@inner
def _escaped(backslash, carry):
    """(mask of the bytes after a backslash that counts, 1 if the last byte is such a backslash)."""
    escaped = carry
    backslash &= ~carry
    last = 0
    while backslash != 0:
        lowest = backslash & -backslash
        escaped |= lowest << 1
        last = 1 if lowest < 0 else 0  # bit 63
        backslash &= ~(lowest | (lowest << 1))
    return escaped, last


@inner
def _prefix_xor(mask):
    """Bit k: whether an odd number of the bits 0 ... k is set."""
    mask ^= mask << 1
    mask ^= mask << 2
    mask ^= mask << 4
    mask ^= mask << 8
    mask ^= mask << 16
    return mask ^ (mask << 32)


@inner
def walk(buffer, begin, want, depth, in_string, after_backslash):
    """(index, depth, in_string, after_backslash, outcome), as `walk_array` has them."""
    i, size = begin, buffer[1]
    while i < size:
        backslash, quote, opening, closing, comma = structure_masks(buffer, i)
        escaped, last = _escaped(backslash, after_backslash)
        string = _prefix_xor(quote & ~escaped) ^ -in_string
        outside = ~(string | escaped)
        opening &= outside
        closing &= outside
        comma &= outside
        # Only in a block that holds a cut or the array's end does the order of the brackets matter.
        may_end = closing != 0 and depth <= count_ones(closing)
        may_cut = comma != 0 and i + BLOCK > want and depth - count_ones(closing) <= 1
        if may_end or may_cut:
            marks = opening | closing | comma
            while marks != 0:
                k = trailing_zeros(marks)
                bit = marks & -marks
                marks ^= bit
                if opening & bit:
                    depth += 1
                elif closing & bit:
                    depth -= 1
                    if depth <= 0:
                        return i + k, 0, 0, 0, ENDED
                elif depth == 1 and i + k >= want:
                    return i + k + 1, depth, 0, 0, CUT
        else:
            depth += count_ones(opening) - count_ones(closing)
        if size - i < BLOCK:
            last = (escaped >> (size - i)) & 1
        in_string = 1 if string < 0 else 0
        after_backslash = last
        i += BLOCK
    return size, depth, in_string, after_backslash, MORE


@kernel
def _walk_array(buffer, begin, want, state):
    at, state[0], state[1], state[2], state[3] = walk(buffer, begin, want, state[0], state[1], state[2])
    return at


def walk_array(data: U8, begin: int, want: int, state: I64) -> int:
    """Find where a streamed JSON array can be cut. See reference/structure.py for state and result."""
    data = np.ascontiguousarray(data)
    return int(_walk_array(whole(data), begin, want, state))
