"""What a damaged file has lost."""

from __future__ import annotations

from forge_gpu.plain import frozen


@frozen
class Loss:
    """Part of a damaged file that `on_corrupt: keep_prefix` left out. offset: byte of the file as it lies
    on disk where it went wrong; rows: how many are lost, where that is known."""

    what: str
    offset: int | None = None
    rows: int | None = None
