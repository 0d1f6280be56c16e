"""kernels.cpu.deal against its reference."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu.deal import deal
from forge_gpu.kernels.reference.deal import deal as deal_reference

GROUPS = st.lists(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 9)),
        min_size=1,
        max_size=3,
        unique_by=lambda cell: cell[0],
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=100)
@given(groups=GROUPS, seed=st.integers(0, 2**32), scale=st.sampled_from([1, 20, 10**8]))
def test_equal_to_the_reference(groups, seed, scale):
    random = np.random.default_rng(seed)
    bounds = np.cumsum([0, *map(len, groups)]).astype(np.int64)
    cells = np.array([cell for group in groups for cell in group], np.int64).reshape(-1, 2)
    keys = random.integers(0, 2**64, len(groups), np.uint64)
    lacking = random.integers(-2, 8, (3, 4)) * scale
    expected_lacking = lacking.copy()
    arguments = bounds, cells[:, 0].copy(), cells[:, 1].copy(), keys
    codes = deal(*arguments, lacking)
    assert np.array_equal(codes, deal_reference(*arguments, expected_lacking))
    assert np.array_equal(lacking, expected_lacking)
