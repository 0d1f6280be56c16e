"""A device of the kernels' tests, as an engine wants it."""

from __future__ import annotations

from typing import Any


class Entered:
    """See engine.gpu.device.ChunkDevice; it is entered all the time."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.forgotten = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def forget(self) -> None:
        self.forgotten += 1

    def __enter__(self) -> Entered:
        return self

    def __exit__(self, *error: object) -> None: ...
