"""split.exact: totals exact, strata within one row, for any partitioning."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.fates import Fate
from forge_gpu.split import exact, quota, select
from forge_gpu.split.fractions import Splits, rounded
from forge_gpu.split.mixer import Stream, mix
from forge_gpu.split.quota import NOT_LIVE

PERCENT = st.integers(0, 100)
SPLITS = st.tuples(PERCENT, PERCENT).map(
    lambda cuts: Splits(
        train=min(cuts) / 100, validation=(max(cuts) - min(cuts)) / 100, test=(100 - max(cuts)) / 100
    )
)


def assert_within_one_row(tests: np.ndarray, validations: np.ndarray, counts: np.ndarray, splits: Splits):
    validation, test = splits.exact()
    n = int(counts.sum())
    assert int(tests.sum()) == rounded(n, test)
    assert int(validations.sum()) == min(rounded(n, validation), n - rounded(n, test))
    assert (tests >= 0).all() and (validations >= 0).all() and (tests + validations <= counts).all()
    for size, in_test, in_validation in zip(
        counts.tolist(), tests.tolist(), validations.tolist(), strict=True
    ):
        assert abs(in_test - size * test) <= 1
        assert abs(in_validation - size * validation) <= 1


@settings(deadline=None, max_examples=400)
@given(counts=st.lists(st.integers(1, 6) | st.integers(1, 10**12), max_size=60), splits=SPLITS)
def test_quotas_are_exact_in_total_and_within_one_row(counts, splits):
    sizes = np.array(counts, np.int64)
    tests, validations = exact.quotas(sizes, splits)
    assert_within_one_row(tests, validations, sizes, splits)
    if splits.test == 0 or splits.validation == 0:
        validation, test = splits.exact()
        for size, given_rows in zip(counts, (tests + validations).tolist(), strict=True):
            assert abs(given_rows - size * (validation + test)) < 1


@pytest.mark.parametrize("largest", [1, 2, 3, 9])
@pytest.mark.parametrize(
    "splits", [Splits(0.8, 0.1, 0.1), Splits(0, 0.5, 0.5), Splits(0.3, 0.5, 0.2), Splits(1 / 3, 1 / 3, 1 / 3)]
)
def test_quotas_of_thousands_of_tiny_strata(largest, splits):
    sizes = np.random.default_rng(largest).integers(1, largest + 1, 5000)
    assert_within_one_row(*exact.quotas(sizes, splits), sizes, splits)


def test_quotas_are_those_of_the_position_rule():
    sizes = np.array([10, 1, 7, 30, 2])
    _, validations = exact.quotas(sizes, Splits(0.9, 0.1))
    chosen = [rounded(q + 1, Fraction(1, 10)) > rounded(q, Fraction(1, 10)) for q in range(50)]
    ends = np.cumsum(sizes)
    assert validations.tolist() == [
        sum(chosen[end - size : end]) for size, end in zip(sizes, ends, strict=True)
    ]


def by_sorting(stratum, hashes, live, splits, seed):
    """The definition, in plain Python."""
    fates = [NOT_LIVE] * len(live)
    mixed = mix(hashes.copy(), seed, Stream.SPLIT).tolist()
    rows: dict[int, list[int]] = {}
    for row in np.flatnonzero(live).tolist():
        rows.setdefault(int(stratum[row]), []).append(row)
    names = sorted(rows)
    tests, validations = exact.quotas(np.array([len(rows[name]) for name in names], np.int64), splits)
    for name, in_test, in_validation in zip(names, tests, validations, strict=True):
        for rank, row in enumerate(sorted(rows[name], key=lambda row: (mixed[row], row))):
            later = Fate.VALIDATION if rank < in_test + in_validation else Fate.TRAIN
            fates[row] = int(Fate.TEST if rank < in_test else later)
    return fates


@settings(deadline=None, max_examples=80)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30), st.booleans()), max_size=70),
    block=st.sampled_from([1, 4, 11, 1000]),
    splits=SPLITS,
    seed=st.integers(0, 2**63 - 1),
)
def test_equals_its_definition_for_any_partitioning(rows, block, splits, seed):
    stratum = np.array([name * (2**62 - 1) for name, _, _ in rows], np.uint64)
    hashes = np.array([(key, key * 2**59) for _, key, _ in rows], np.uint64).reshape(len(rows), 2)
    live = np.array([alive for _, _, alive in rows], bool)
    before = hashes.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select, "BLOCK", block)
        result = exact.assign(stratum, hashes, live, splits, seed, 0)
        whole = exact.assign(None, hashes, live, splits, seed, 0)
    assert result.tolist() == by_sorting(stratum, hashes, live, splits, seed)
    assert whole.tolist() == by_sorting(np.zeros_like(stratum), hashes, live, splits, seed)
    assert np.array_equal(hashes, before)


def test_a_row_keeps_its_split_when_others_are_reordered():
    random = np.random.default_rng(3)
    hashes = random.integers(0, 2**64, (5000, 2), np.uint64)
    stratum = random.integers(0, 9, 5000).astype(np.uint64)
    order = random.permutation(5000)
    live = np.ones(5000, bool)
    splits = Splits(0.7, 0.2, 0.1)
    straight = exact.assign(stratum, hashes, live, splits, 1, 2**30)
    assert np.array_equal(
        exact.assign(stratum[order], hashes[order], live, splits, 1, 2**30), straight[order]
    )
    assert not np.array_equal(exact.assign(stratum, hashes, live, splits, 2, 2**30), straight)


def test_fractions_stand_for_their_decimal_text():
    assert Splits(0.7, 0.1, 0.2).exact() == (Fraction(1, 10), Fraction(1, 5))
    assert Splits(0.9, 0.1).counts(15) == (2, 0)  # 1.5 rounds up, though 0.1 as a float is a little more
    assert Splits(0.71, 0.29).counts(50) == (15, 0)  # 14.5 exactly; 50 * 0.29 as floats is 14.499...


@pytest.mark.parametrize("bound", [0, 1 << 40, 2**64 - 1])
def test_a_bound_that_too_few_keys_are_below_changes_nothing(monkeypatch, bound):
    rng = np.random.default_rng(5)
    hashes = rng.integers(0, 2**64, (4000, 2), np.uint64)
    stratum, live = rng.integers(0, 9, 4000).astype(np.uint64), rng.random(4000) < 0.9
    splits = Splits(0.8, 0.1, 0.1)
    expected = exact.assign(stratum, hashes, live, splits, 7, 1 << 30)
    monkeypatch.setattr(
        quota, "_likely_bound", lambda required, counts: np.full(len(counts), bound, np.uint64)
    )
    assert np.array_equal(exact.assign(stratum, hashes, live, splits, 7, 1 << 30), expected)
