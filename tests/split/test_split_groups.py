"""split.groups: groups stay whole, sizes and strata come near."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.fates import Fate
from forge_gpu.split import exact
from forge_gpu.split.fractions import Splits
from forge_gpu.split.groups import assign, groups_of, merge
from forge_gpu.split.quota import NOT_LIVE

SPLITS = Splits(0.8, 0.1, 0.1)


def keys_of(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (n, 2), np.uint64)


def labels(names: list[int]) -> np.ndarray:
    return np.array([names.index(name) for name in names], np.int64)


@settings(deadline=None, max_examples=120)
@given(
    rows=st.lists(st.tuples(st.integers(0, 25), st.integers(0, 3), st.booleans()), max_size=90),
    cuts=st.tuples(st.integers(0, 100), st.integers(0, 100)).map(sorted),
    seed=st.integers(0, 2**63 - 1),
    stratified=st.booleans(),
)
def test_no_group_is_torn_and_every_row_has_a_split(rows, cuts, seed, stratified):
    group = labels([name for name, _, _ in rows])
    stratum = np.array([name for _, name, _ in rows], np.uint64) if stratified else None
    live = np.array([alive for _, _, alive in rows], bool)
    splits = Splits(cuts[0] / 100, (cuts[1] - cuts[0]) / 100, (100 - cuts[1]) / 100)
    hashes = keys_of(len(rows))
    result = assign(group, stratum, hashes, live, splits, seed, 2**20)
    assert np.array_equal(result.fates == NOT_LIVE, ~live)
    assert np.isin(result.fates[live], [Fate.TRAIN, Fate.VALIDATION, Fate.TEST]).all()
    for name in set(group[live].tolist()):
        assert len(set(result.fates[live & (group == name)].tolist())) == 1
    again = assign(group, stratum, hashes, live, splits, seed, 0)
    assert np.array_equal(again.fates, result.fates) and again.reasons == result.reasons
    n = int(live.sum())
    off = [
        abs(int((result.fates == fate).sum()) / n - fraction) > 0.01
        for fate, fraction in ((Fate.TEST, splits.test), (Fate.VALIDATION, splits.validation))
        if n and abs(abs(int((result.fates == fate).sum()) / n - fraction) - 0.01) > 1e-9
    ]
    assert sum(off) <= len(result.reasons)


@pytest.mark.parametrize("sizes", [(1, 6), (2, 9), (5, 6), (1, 60)])
def test_sizes_are_within_one_percent_in_total_and_in_strata(sizes):
    random = np.random.default_rng(sum(sizes))
    low, high = sizes
    counts = random.integers(low, high, 3000)
    group = np.repeat(np.cumsum(counts) - counts, counts)
    n = len(group)
    stratum = (np.repeat(np.arange(len(counts)), counts) % 4).astype(np.uint64)
    result = assign(group, stratum, keys_of(n), np.ones(n, bool), SPLITS, 1, 2**30)
    assert result.reasons == ()
    for fate, fraction in ((Fate.TRAIN, 0.8), (Fate.VALIDATION, 0.1), (Fate.TEST, 0.1)):
        assert np.mean(result.fates == fate) == pytest.approx(fraction, abs=0.01)
        for name in range(4):
            assert np.mean(result.fates[stratum == name] == fate) == pytest.approx(fraction, abs=0.02)


def test_with_enough_single_rows_sizes_are_exact():
    group = np.arange(2000)
    group[:400] = group[:400] // 4 * 4
    stratum = (np.arange(2000) // 4 % 5).astype(np.uint64)
    live = np.ones(2000, bool)
    result = assign(group, stratum, keys_of(2000), live, SPLITS, 3, 2**30)
    plain = exact.assign(stratum, keys_of(2000), live, SPLITS, 3, 2**30)
    for name in range(5):
        there = stratum == name
        assert np.array_equal(np.bincount(result.fates[there]), np.bincount(plain[there]))


def test_large_groups_are_in_every_split():
    counts = np.array([50] * 200 + [1] * 5000)
    group = np.repeat(np.cumsum(counts) - counts, counts)
    result = assign(group, None, keys_of(len(group)), np.ones(len(group), bool), SPLITS, 5, 2**30)
    in_large = np.repeat(counts > 1, counts)
    for fate, fraction in ((Fate.TRAIN, 0.8), (Fate.VALIDATION, 0.1), (Fate.TEST, 0.1)):
        assert np.mean(result.fates[in_large] == fate) == pytest.approx(fraction, abs=0.06)


def test_a_group_too_large_for_its_share_is_a_stated_reason():
    group = np.zeros(100, np.int64)
    group[90:] = np.arange(90, 100)
    result = assign(group, None, keys_of(100), np.ones(100, bool), Splits(0.5, 0.5), 0, 2**30)
    assert sorted(np.bincount(result.fates, minlength=2)[:2].tolist()) == [10, 90]
    assert len(result.reasons) == 2
    assert "the largest has 90 of 100 rows (90.0%)" in result.reasons[0]


def test_groups_of_a_column():
    keys = np.array([7, 8, 7, 9, 8, 7], np.uint64)
    present = np.array([1, 1, 1, 1, 1, 0], bool)
    assert groups_of(keys, present).tolist() == [0, 1, 0, 3, 1, 5]


def test_merged_groupings_keep_all_groups_whole():
    by_user, by_cluster = labels([0, 1, 0, 2, 3, 3]), labels([0, 1, 2, 1, 4, 5])
    assert merge(by_user, by_cluster).tolist() == [0, 1, 0, 1, 4, 4]
    assert merge(by_user).tolist() == by_user.tolist()
    random = np.random.default_rng(1)
    first, second = (labels(random.integers(0, 40, 100).tolist()) for _ in range(2))
    merged = merge(first, second)
    for grouping in (first, second):
        for name in set(grouping.tolist()):
            assert len(set(merged[grouping == name].tolist())) == 1
    assert (merged <= np.arange(100)).all() and np.array_equal(merged[merged], merged)
