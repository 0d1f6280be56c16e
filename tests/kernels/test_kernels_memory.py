"""memory: where an array's bytes are, however the array was made."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from forge_gpu.kernels.cpu import memory


def arrays(folder) -> list[np.ndarray]:
    whole = np.arange(24, dtype=np.int64)
    frozen = np.frombuffer(b"read only", np.uint8)
    mapped = np.memmap(folder / "mapped", np.int32, "w+", shape=(5,))
    return [whole, whole[3:9], whole.reshape(4, 6)[2], frozen, frozen[4:], mapped, whole.view(np.uint8)[5:]]


@pytest.mark.parametrize("ask", [memory.address, memory._address_in_object, memory._asked_address])
def test_an_address_is_that_of_the_first_byte(ask, tmp_path) -> None:
    for array in arrays(tmp_path):
        assert ask(array) == array.__array_interface__["data"][0]
        assert memory.whole(array) == (ask(array), array.nbytes)


def test_where_objects_have_longer_heads_numpy_is_asked(monkeypatch) -> None:
    monkeypatch.setattr(sys, "getobjects", None, raising=False)
    assert not memory._can_look_inside()
