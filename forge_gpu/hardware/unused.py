"""Memory that libraries have freed, and the C library holds."""

from __future__ import annotations

import ctypes
from contextlib import suppress

LARGE = 7 * 2**20
"""Bytes: more than a chunk or a row group takes, so no block that is needed again and again is made anew."""

_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""


def give_back_large() -> None:
    """Have each block of LARGE bytes given back as soon as it is free, for as long as the process lives. By
    itself glibc keeps such blocks once one was freed, and what it keeps does not always fit the next row."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """Give it to the system: after something large was loaded that took several times its room meanwhile.
    Only glibc holds as much, and has a function for it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
