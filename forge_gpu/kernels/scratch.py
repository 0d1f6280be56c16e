"""Buffers that kernels reuse: fresh memory costs more at first touch than most kernels do."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Scratch:
    """Named buffers of one thread. A kernel's results live here until its next call with the same scratch."""

    def __init__(self) -> None:
        self._buffers: dict[str, npt.NDArray[np.uint8]] = {}

    def array(self, name: str, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """The first `count` items of buffer `name`, contents undefined; grown when it is too small."""
        kind = np.dtype(dtype)
        size = count * kind.itemsize
        if self.held(name) < size:
            self._buffers[name] = np.empty(size, np.uint8)
        return self._buffers[name][:size].view(kind) if size else np.empty(0, kind)

    def renew(self, name: str) -> None:
        """Give buffer `name` away to what was made in it; another of its size, of fresh memory, takes its
        place."""
        self._buffers[name] = np.empty(self.held(name), np.uint8)

    def held(self, name: str) -> int:
        """Bytes that buffer `name` has now: what `array` gives without growing."""
        buffer = self._buffers.get(name)
        return 0 if buffer is None else len(buffer)

    @property
    def nbytes(self) -> int:
        """Bytes that all buffers hold."""
        return sum(len(buffer) for buffer in self._buffers.values())
