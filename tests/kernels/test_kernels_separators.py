"""separators: the kernel against the reference, at every place in a block and at the end of a page."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu import separators as cpu
from forge_gpu.kernels.reference import separators as reference
from tests.kernels.adversarial import at_page_edge, run_checked


@given(st.text('\n,"a{', max_size=300))
@settings(deadline=None, max_examples=200)
def test_random(text: str) -> None:
    data = at_page_edge(text.encode())
    assert cpu.separators(data) == reference.separators(data)


def test_every_place_in_a_block() -> None:
    for size in range(140):
        for at in range(size):
            data = np.full(size, 0x8A, np.uint8)
            data[at] = ord(",\n"[at % 2])
            assert cpu.separators(data) == (at % 2, 1 - at % 2)


def test_checked() -> None:
    run_checked(__file__)
