"""How many bytes may end a record: a buffer holds at most one record more than that."""

from __future__ import annotations

from forge_gpu.kernels.layout import U8


def separators(data: U8) -> tuple[int, int]:
    """(line feeds, commas) among the bytes of uint8[n], whatever they stand in."""
    text = data.tobytes()
    return text.count(b"\n"), text.count(b",")
