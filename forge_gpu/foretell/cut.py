"""What a file of pieces stands for."""

from __future__ import annotations

from forge_gpu.plain import frozen


@frozen
class Cut:
    """What was written of a file: the bytes of it that this stands for, the places they are from, and whether
    it is its beginning alone."""

    bytes: float
    places: int = 1
    is_head: bool = False
