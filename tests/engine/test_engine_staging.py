"""Uploads by way of pinned memory: the device gets the right bytes however late it reads them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from forge_gpu.engine.gpu.staging import Staging
from forge_gpu.kernels.layout import U8


class LateCopies:
    """A stream that does nothing until it is waited for: what is changed too early is seen."""

    def __init__(self, memory: U8) -> None:
        self.memory = memory
        self.waits = 0
        self._todo: list[Callable[[], None]] = []
        self._done = 0

    def start(self, source: U8, target: int) -> None:
        def copy() -> None:
            self.memory[target : target + len(source)] = source

        self._todo.append(copy)

    def mark(self) -> int:
        return len(self._todo)

    def wait(self, mark: int) -> None:
        self.waits += 1
        for copy in self._todo[self._done : mark]:
            copy()
        self._done = max(self._done, mark)


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_bytes_arrive_unchanged(slots: int, size: int) -> None:
    random = np.random.default_rng(size)
    device = np.zeros(5000, np.uint8)
    copies = LateCopies(device)
    staging = Staging([np.zeros(size, np.uint8) for _ in range(slots)], copies)
    expected = np.zeros(5000, np.uint8)
    at = 0
    for length in random.integers(0, 150, 40).tolist():
        data = random.integers(1, 256, length).astype(np.uint8)
        staging.upload(data, at)
        expected[at : at + length] = data
        data[:] = 0  # the caller's own may change at once
        at += length
    copies.wait(copies.mark())
    assert at < 5000 and np.array_equal(device, expected)


def test_small_uploads_wait_for_nothing() -> None:
    copies = LateCopies(np.zeros(100, np.uint8))
    staging = Staging([np.zeros(64, np.uint8) for _ in range(2)], copies)
    for _ in range(8):
        staging.upload(np.ones(12, np.uint8), 0)
    assert copies.waits == 0
    for _ in range(8):
        staging.upload(np.ones(12, np.uint8), 0)
    assert copies.waits > 0
