"""UTF-8 as Unicode has it (no surrogates, nothing overlong): the plain meaning of `kernels/cpu/utf8.py`."""

from __future__ import annotations

import numpy as np

from forge_gpu.kernels.layout import U8, Spans


def valid_utf8(column: Spans) -> U8:
    """uint8[n]: 1 where the bytes of the value are UTF-8, whatever its kind (NULL and ABSENT have none)."""
    return np.array([_is_valid(column.raw(i)) for i in range(len(column))], np.uint8)


def _is_valid(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
