"""Memory that libraries have freed, and the C library holds."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Give it to the system: after something large was loaded that took several times its room meanwhile.
    Only glibc holds as much, and has a function for it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
