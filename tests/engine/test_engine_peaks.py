"""What is counted on of a device's memory is what calls allocate, for rows of 300 bytes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from forge_gpu.dedup.near import BYTES_A_BYTE_THERE, NearDuplicates
from forge_gpu.hardware.budget import peak_factors
from forge_gpu.kernels.cuda import minhash, sets
from forge_gpu.kernels.cuda.device import OVER_READ
from forge_gpu.kernels.layout import Text

ROWS, ROW = 4000, 300


class Idle:
    """A device over numpy that allocates, and runs no kernel. units: of each row, as one would count them."""

    xp = np

    def __init__(self, units: int) -> None:
        self.units = units

    def upload(self, array: Any) -> Any:
        return np.array(array)

    def download(self, array: Any) -> Any:
        return np.array(array)

    def bytes(self, size: int) -> Any:
        return np.zeros((size + OVER_READ + 7) // 8, np.uint64).view(np.uint8)

    def window(self, buffers: Sequence[Any]) -> Any:
        return buffers[0], None, [0]

    def words(self, buffer: Any) -> Any:
        return buffer.view(np.uint64)

    def launch(self, made: Any, threads: int, *arguments: Any, block: int | None = None) -> None:
        if made.__name__ == "units":
            arguments[-1][:] = self.units


def peak(call: Callable[[Any], object], units: int) -> float:
    """Bytes for each byte of the texts, which are there, that a call has at once."""
    tracemalloc.start()
    try:
        call(Idle(units))
        return tracemalloc.get_traced_memory()[1] / (ROWS * ROW)
    finally:
        tracemalloc.stop()


@pytest.fixture
def text() -> Text:
    return Text(np.zeros(ROWS * ROW + OVER_READ, np.uint8), np.arange(ROWS + 1) * ROW)


def test_band_hashes(text: Text) -> None:
    near = peak_factors()["gpu"]["passes"]["near"]
    signing = NearDuplicates().signing
    made = peak(lambda device: minhash.band_hashes(text.data, text.offsets, *signing, device), ROW)
    assert 0.95 * (counted := near["units"] + near["signatures"]) < made < counted
    assert set(near) == {"input", "spans", "compared", "units", "signatures"}


@pytest.mark.parametrize("unit", ["characters", "words"])
def test_shared_shingles(text: Text, unit: Any) -> None:
    from forge_gpu.dedup.shingling import Shingling

    arguments = Shingling(unit).arguments()
    pairs = np.stack((np.arange(1, ROWS), np.arange(ROWS - 1)), axis=1)
    most = ROW if unit == "characters" else ROW // 2
    made = peak(lambda device: sets.shared_shingles([text], pairs, *arguments, device), most)
    assert BYTES_A_BYTE_THERE / 2 < made < BYTES_A_BYTE_THERE - 2  # and the text, while it is read
