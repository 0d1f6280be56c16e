"""How often a byte occurs."""

from __future__ import annotations

import numpy as np

from forge_gpu.kernels.layout import U8

CACHED = 2**16
"""Bytes that stay in the processor's cache while they are compared and counted."""


def count_of(data: U8, byte: int) -> int:
    """How many bytes of uint8[n] are this one."""
    pieces = (data[at : at + CACHED] for at in range(0, len(data), CACHED))
    return sum(int(np.count_nonzero(piece == byte)) for piece in pieces)
