"""split.mixture: shares of sources, and which rows are used."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.errors import ConfigError
from forge_gpu.split import mixture, select, threshold
from forge_gpu.split.fractions import Splits


def test_shares():
    assert mixture.shares([10, 20], None, None) == [10, 20]
    assert mixture.shares([10, 20], None, [None, 5]) == [10, 5]
    assert mixture.shares([100, 1000], [1, 1], None) == [100, 100]
    assert mixture.shares([100, 1000, 50], [0.3, 0.7, 0], None) == [100, 233, 0]
    assert mixture.shares([100, 1000], [0.5, 0.5], [30, None]) == [30, 30]
    assert mixture.shares([0, 1000], [1, 1], None) == [0, 0]


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 1000)), min_size=1, max_size=6).filter(
        lambda sources: any(weight for _, weight in sources)
    )
)
def test_weighted_shares_are_the_largest_that_hold(sources):
    counts, weights = [count for count, _ in sources], [weight / 1000 for _, weight in sources]
    result = mixture.shares(counts, weights, None)
    assert all(0 <= used <= count for used, count in zip(result, counts, strict=True))
    assert any(used == count for used, count, weight in zip(result, counts, weights, strict=True) if weight)
    total = sum(weights)
    for used, weight in zip(result, weights, strict=True):
        assert abs(used - sum(result) * weight / total) <= len(sources)


@pytest.mark.parametrize(
    ("weights", "caps", "message"),
    [
        ([1], None, "1 weights for 2 sources"),
        ([0, 0], None, "all weights of the mixture are 0"),
        ([1, -1], None, "a weight of the mixture is -1"),
        ([1, float("nan")], None, "a weight of the mixture is nan"),
        (None, [3, -2], "the cap of source 2 is -2"),
    ],
)
def test_shares_that_cannot_be_are_refused(weights, caps, message):
    with pytest.raises(ConfigError, match=message):
        mixture.shares([5, 5], weights, caps)


@pytest.mark.parametrize("block", [100, 1 << 18])
def test_sample_is_of_exact_size_and_grows_with_its_share(monkeypatch, block):
    monkeypatch.setattr(select, "BLOCK", block)
    random = np.random.default_rng(1)
    source = random.integers(0, 3, 3000).astype(np.uint32)
    hashes = random.integers(0, 2**64, (3000, 2), np.uint64)
    live = random.random(3000) < 0.9
    counts = mixture.available(source, live, 3)
    assert counts.tolist() == [int((live & (source == number)).sum()) for number in range(3)]
    few = mixture.sample(source, hashes, live, [10, 0, counts[2] + 5], 7, 0)
    many = mixture.sample(source, hashes, live, [400, 30, 0], 7, 0)
    assert np.bincount(source[few], minlength=3).tolist() == [10, 0, counts[2]]
    assert np.bincount(source[many], minlength=3).tolist() == [400, 30, 0]
    assert not (few & ~live).any() and not (few & (source == 0) & ~many).any()
    fates = threshold.assign(hashes[many], np.ones(430, bool), Splits(0.5, 0.5), 7)
    assert 150 < np.count_nonzero(fates == 0) < 280  # the sample's hashes are not those of the split


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_shares_of_sizes_are_searched(seed):
    """Against adding rows one by one, in the order in which shares of rows use them."""
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 60))
    source = random.integers(0, 3, n).astype(np.uint32)
    hashes = random.integers(0, 2**64 - 1, (n, 2), dtype=np.uint64)
    live, size = random.random(n) < 0.8, random.integers(0, 9, n).astype(np.uint32)
    weights = [float(weight) for weight in (*random.integers(0, 4, 2), 1)]
    caps = [None, int(random.integers(0, 20)), None]
    repeats = random.integers(1, 4, 3).tolist() if seed % 2 else None
    passes, there = mixture.sample_repeated(source, hashes, live, size, weights, caps, repeats, 3, 5, 0)
    counts = mixture.available(source, live, 3).tolist()
    most = [count if cap is None else min(count, cap) for count, cap in zip(counts, caps, strict=True)]

    def sizes(number: int, rows: int) -> tuple[int, np.ndarray]:
        required = [rows if each == number else 0 for each in range(3)]
        drawn = mixture.sample(source, hashes, live, required, 5, 0)
        return int(size[drawn].sum()), drawn

    assert there.tolist() == [sizes(number, most[number])[0] for number in range(3)]
    expected, often = np.zeros(n, np.int64), np.array(repeats or [1, 1, 1])
    for number, share in enumerate(mixture.shares((there * often).tolist(), weights, None)):
        whole, rest = divmod(share, int(there[number]) or 1)
        fitting = [rows for rows in range(most[number] + 1) if sizes(number, rows)[0] <= rest]
        more = fitting[-1] if weights[number] and (rest or not whole) else 0
        expected += whole * sizes(number, most[number])[1] + sizes(number, more)[1]
    assert passes.copies(source).tolist() == expected.tolist()
    assert passes.used(source).tolist() == (expected > 0).tolist()


@given(st.integers(0, 2**32 - 1))
def test_sufficient_repeats_are_the_fewest(seed):
    random = np.random.default_rng(seed)
    there, weights = random.integers(1, 500, 3).tolist(), [*random.integers(0, 9, 2).tolist(), 1]
    suffice = mixture.sufficient_repeats(there, list(map(float, weights)))
    exact = [each for each in zip(there, weights, suffice, strict=True) if each[1]]
    whole = max(Fraction(count, weight) for count, weight, _ in exact)
    for count, weight, few in exact:
        assert Fraction(count * few, weight) >= whole
        assert few == 1 or Fraction(count * (few - 1), weight) < whole
    assert mixture.sufficient_repeats([0, 7], [1.0, 1.0]) == [0, 1]
    assert mixture.sufficient_repeats([3, 7], None) == [1, 1]
