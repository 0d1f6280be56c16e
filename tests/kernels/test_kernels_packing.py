"""kernels.cpu.packing against its reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu.packing import best_fit
from forge_gpu.kernels.reference.packing import best_fit as best_fit_reference


@settings(deadline=None, max_examples=150)
@given(
    most=st.sampled_from([1, 2, 7, 63, 64, 65, 128, 4095, 4096, 9000]),
    rows=st.integers(0, 120),
    shortest=st.sampled_from([0, 1]),
    scale=st.sampled_from([1.0, 0.5, 0.1, 0.02]),
    seed=st.integers(0, 2**32),
)
def test_equal_to_the_reference(most: int, rows: int, shortest: int, scale: float, seed: int) -> None:
    longest = max(int(most * scale), shortest, 1)
    lengths = np.random.default_rng(seed).integers(shortest, longest + 1, rows).astype(np.uint32)
    for made, expected in zip(best_fit(lengths, most), best_fit_reference(lengths, most), strict=True):
        assert np.array_equal(made, expected)


@pytest.mark.parametrize("most", [64, 4096, 64 * 64 * 5])
def test_rooms_at_the_edges_of_words_and_groups(most: int) -> None:
    edges = [at + shift for at in (0, 64, 4096, most // 2, most) for shift in (-1, 0, 1)]
    lengths = np.array([edge for edge in edges * 5 if 0 < edge <= most], np.uint32)
    lengths = np.concatenate([lengths, (most - lengths)[lengths < most]]).astype(np.uint32)
    places, rows = best_fit(lengths, most)
    for made, expected in zip((places, rows), best_fit_reference(lengths, most), strict=True):
        assert np.array_equal(made, expected)
    assert np.bincount(places[:, 0], lengths).max() <= most
