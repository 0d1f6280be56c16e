"""dedup: first occurrences against the reference, on hashes made to meet in the table."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu.dedup import first_occurrence
from forge_gpu.kernels.reference.dedup import first_occurrence as reference
from tests.kernels.adversarial import run_checked

WORD = st.one_of(st.integers(0, 3), st.integers(2**64 - 3, 2**64 - 1), st.integers(0, 2**64 - 1))
ROWS = st.lists(st.tuples(WORD, WORD, st.sampled_from([0, 1, 1, 255])), max_size=60)


@given(rows=ROWS)
@settings(deadline=None, max_examples=200)
def test_equals_the_reference(rows: list[tuple[int, int, int]]) -> None:
    hashes = np.array([row[:2] for row in rows], np.uint64).reshape(len(rows), 2)
    live = np.array([row[2] for row in rows], np.uint8)
    assert first_occurrence(hashes, live).tolist() == reference(hashes, live).tolist()


def test_many_rows_with_duplicates() -> None:
    generator = np.random.default_rng(3)
    hashes = generator.integers(0, 2**63, (3000, 2)).astype(np.uint64)[generator.integers(0, 3000, 20_000)]
    live = (generator.random(len(hashes)) < 0.7).astype(np.uint8)
    result = first_occurrence(hashes, live)
    assert result.tolist() == reference(hashes, live).tolist()
    assert first_occurrence(hashes[::3], live[::3]).tolist() == reference(hashes[::3], live[::3]).tolist()


N = 200_000
RANDOM = np.random.default_rng(4).integers(0, 2**63, N).astype(np.uint64)
COUNT, ZERO = np.arange(N, dtype=np.uint64), np.zeros(N, np.uint64)
HARD = {
    "all equal": (ZERO, ZERO),
    "equal low words": (ZERO, RANDOM),
    "equal high words": (RANDOM, ZERO),
    "counted low words": (COUNT, ZERO),
    "counted high words": (ZERO, COUNT),
    "both words counted": (COUNT, COUNT),
    "words that cancel": (COUNT, ZERO - COUNT),
    "high bits only": (COUNT << np.uint64(44), ZERO),
    "one range": (RANDOM >> np.uint64(20), RANDOM),
}


@pytest.mark.parametrize("case", HARD)
def test_hard_hashes_take_no_quadratic_time(case: str) -> None:
    hashes = np.stack(HARD[case], axis=1)
    live = np.ones(N, np.uint8)
    first_occurrence(hashes[:10], live[:10])
    began = time.process_time()
    result = first_occurrence(hashes, live)
    took = time.process_time() - began
    assert len(np.unique(result)) == (1 if case == "all equal" else N)
    assert took < 2  # it takes some 10 ms; quadratic would be minutes


def test_shapes_that_do_not_agree_are_refused() -> None:
    for function in (first_occurrence, reference):
        with pytest.raises(ValueError, match="are not"):
            function(np.zeros((3, 2), np.uint64), np.zeros(2, np.uint8))
        with pytest.raises(ValueError, match="are not"):
            function(np.zeros(4, np.uint64), np.zeros(4, np.uint8))


def test_dedup_in_checked_mode() -> None:
    run_checked(__file__)
