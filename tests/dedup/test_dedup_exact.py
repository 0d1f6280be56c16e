"""dedup.exact: first live row wins, whatever the partitioning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.dedup import exact


def by_dictionary(hashes: np.ndarray, live: np.ndarray) -> list[int]:
    seen: dict[tuple[int, int], int] = {}
    return [
        -1 if not alive or (first := seen.setdefault((int(low), int(high)), row)) == row else first
        for row, ((low, high), alive) in enumerate(zip(hashes, live, strict=True))
    ]


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=80),
    block=st.sampled_from([1, 3, 7, 1000]),
    spread=st.sampled_from([1, 2**61]),
)
def test_equals_a_dictionary_for_any_partitioning(rows, block, spread):
    hashes = np.array([(key % 2, key * spread) for key, _ in rows], np.uint64).reshape(len(rows), 2)
    live = np.array([alive for _, alive in rows], bool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "BLOCK", block)
        result = exact.duplicates(hashes, live, budget_bytes=0)
    assert result.tolist() == by_dictionary(hashes, live)


def test_mapped_file_under_a_small_budget_equals_memory(tmp_path: Path):
    random = np.random.default_rng(5)
    n = 900_000
    hashes = random.integers(0, 2**64, (n, 2), np.uint64)[random.integers(0, n, n)]
    hashes[random.random(n) < 0.4] = 17  # one key with very many rows
    hashes.tofile(tmp_path / "hashes")
    live = random.random(n) < 0.9
    mapped = np.memmap(tmp_path / "hashes", np.uint64, "r", shape=(n, 2))
    small, whole = exact.duplicates(mapped, live, 1), exact.duplicates(hashes, live, 2**30)
    assert np.array_equal(small, whole)
    survivor = whole[whole >= 0]
    assert np.array_equal(hashes[survivor], hashes[whole >= 0]) and live[survivor].all()
    assert (whole[survivor] == -1).all() and (whole[~live] == -1).all()
    assert len(np.unique(hashes[live & (whole < 0)], axis=0)) == np.count_nonzero(live & (whole < 0))


def test_no_rows():
    assert exact.duplicates(np.zeros((0, 2), np.uint64), np.zeros(0, bool), 0).tolist() == []
