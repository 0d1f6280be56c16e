"""How many bytes may end a record. See reference/separators.py.

A mask of 64 bytes at once and its number of ones. Bytes read: each once.
"""

import numpy as np

from forge_gpu.kernels.compiled import kernel
from forge_gpu.kernels.cpu.masks import count_ones, separator_masks
from forge_gpu.kernels.cpu.memory import BLOCK, whole
from forge_gpu.kernels.layout import U8


@kernel
def _separators(buffer):
    lines = commas = 0
    for i in range(0, buffer[1], BLOCK):
        line, comma = separator_masks(buffer, i)
        lines += count_ones(line)
        commas += count_ones(comma)
    return lines, commas


def separators(data: U8) -> tuple[int, int]:
    """(line feeds, commas) of uint8[n]. See reference/separators.py."""
    lines, commas = _separators(whole(np.ascontiguousarray(data)))
    return int(lines), int(commas)
