"""split.threshold, split.temporal, split.order, split.mixer, split.select."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.fates import Fate
from forge_gpu.split import exact, order, select, temporal, threshold
from forge_gpu.split.fractions import Splits
from forge_gpu.split.mixer import Stream, mix
from forge_gpu.split.quota import NOT_LIVE

KEYS = np.random.default_rng(7).integers(0, 2**64, (20_000, 2), np.uint64)
LIVE = np.ones(len(KEYS), bool)


def plain_mix(low: int, high: int, seed: int, stream: int) -> int:
    def finalise(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    start = finalise((finalise((seed + 0x9E3779B97F4A7C15) % 2**64) + stream) % 2**64)
    return finalise(finalise(low ^ start) ^ high)


@given(low=st.integers(0, 2**64 - 1), high=st.integers(0, 2**64 - 1), seed=st.integers(0, 2**64 - 1))
def test_mix_is_its_definition(low, high, seed):
    hashes = np.array([[low, high]], np.uint64)
    for stream in Stream:
        assert int(mix(hashes, seed, stream)[0]) == plain_mix(low, high, seed, stream)
    assert hashes.tolist() == [[low, high]]


def test_mix_is_uniform_and_its_streams_are_independent():
    small = np.zeros((20_000, 2), np.uint64)
    small[:, 1] = np.arange(20_000)
    drawn = {stream: mix(small, 42, stream) >> np.uint64(60) for stream in Stream}
    for digits in drawn.values():
        counts = np.bincount(digits.astype(int), minlength=16)
        assert ((counts - 1250) ** 2 / 1250).sum() < 45  # chi-square, 15 degrees of freedom, p < 1e-4
    joint = drawn[Stream.SPLIT] * np.uint64(16) + drawn[Stream.SAMPLE]
    counts = np.bincount(joint.astype(int), minlength=256)
    assert ((counts - 78.125) ** 2 / 78.125).sum() < 350


@settings(deadline=None, max_examples=60)
@given(keys=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), min_size=1, max_size=40), data=st.data())
def test_select_equals_sorting(keys, data):
    rank = data.draw(st.integers(0, len(keys) - 1))
    array = np.array(keys, np.uint64)
    result = select.select(lambda: iter([array[:5], array[5:]]), rank)
    key = sorted(keys)[rank]
    assert (result.key, result.below, result.equal) == (key, sum(k < key for k in keys), keys.count(key))


def test_threshold_moves_no_row_when_data_is_added_and_is_near_its_fractions():
    splits = Splits(0.7, 0.2, 0.1)
    whole = threshold.assign(KEYS, LIVE, splits, 3)
    assert np.array_equal(threshold.assign(KEYS[:500], LIVE[:500], splits, 3), whole[:500])
    for fate, fraction in ((Fate.TRAIN, 0.7), (Fate.VALIDATION, 0.2), (Fate.TEST, 0.1)):
        assert np.mean(whole == fate) == pytest.approx(fraction, abs=0.012)
    live = LIVE.copy()
    live[::3] = False
    partly = threshold.assign(KEYS, live, splits, 3)
    assert np.array_equal(partly, np.where(live, whole, NOT_LIVE))


def test_threshold_bounds_are_whole(monkeypatch):
    assert (threshold.assign(KEYS, LIVE, Splits(0, 0, 1), 0) == Fate.TEST).all()
    assert (threshold.assign(KEYS, LIVE, Splits(0, 1, 0), 0) == Fate.VALIDATION).all()
    assert (threshold.assign(KEYS, LIVE, Splits(1, 0, 0), 0) == Fate.TRAIN).all()
    ends = np.array([[0, 0], [2**63 - 1, 0], [2**63, 0], [2**64 - 1, 0]], np.uint64)
    monkeypatch.setattr(threshold, "mix", lambda hashes, *_: hashes[:, 0])
    halves = [Fate.TEST, Fate.TEST, Fate.TRAIN, Fate.TRAIN]
    assert threshold.assign(ends, np.ones(4, bool), Splits(0.5, 0, 0.5), 0).tolist() == halves
    assert (threshold.assign(ends, np.ones(4, bool), Splits(0, 0, 1), 0) == Fate.TEST).all()
    assert (threshold.assign(ends, np.ones(4, bool), Splits(1, 0, 0), 0) == Fate.TRAIN).all()


def nearest_cuts(times: list[int], cut: int) -> int:
    """Where a cut before position `cut` of the sorted times may go: the nearest place between two times."""
    places = [0, len(times)] + [i for i in range(1, len(times)) if times[i - 1] != times[i]]
    return min(places, key=lambda place: (abs(place - cut), place))


@settings(deadline=None, max_examples=150)
@given(
    times=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 4), max_size=40),
    cuts=st.tuples(st.integers(0, 100), st.integers(0, 100)).map(sorted),
)
def test_temporal_keeps_ties_together_and_cuts_as_near_as_they_allow(times, cuts):
    splits = Splits(cuts[0] / 100, (cuts[1] - cuts[0]) / 100, (100 - cuts[1]) / 100)
    fates = temporal.assign(np.array(times, np.int64), np.ones(len(times), bool), splits)
    validation, test = splits.counts(len(times))
    ordered = sorted(times)
    first = nearest_cuts(ordered, len(times) - test - validation)
    second = nearest_cuts(ordered, len(times) - test)
    fate_of = dict(zip(times, fates.tolist(), strict=True))
    required = (
        [Fate.TRAIN] * first + [Fate.VALIDATION] * (second - first) + [Fate.TEST] * (len(times) - second)
    )
    assert [fate_of[time] for time in ordered] == required
    assert all(fate_of[time] == fate for time, fate in zip(times, fates.tolist(), strict=True))


def test_temporal_leaves_rows_that_are_not_live():
    times = np.array([5, 1, 9, 2, 7], np.int64)
    live = np.array([1, 1, 0, 1, 1], bool)
    fates = temporal.assign(times, live, Splits(0.5, 0.25, 0.25))
    assert fates.tolist() == [Fate.VALIDATION, Fate.TRAIN, NOT_LIVE, Fate.TRAIN, Fate.TEST]


@pytest.mark.parametrize("block", [64, 1 << 18])
def test_shuffled_ranks_are_an_order_by_hash_then_row(monkeypatch, block):
    monkeypatch.setattr(select, "BLOCK", block)
    keys = KEYS[:1000].copy()
    keys[500:600] = keys[0]
    live = np.arange(1000) % 3 != 0
    ranks = order.shuffled_ranks(keys, live, 11, 0)
    mixed = mix(keys, 11, Stream.ORDER).tolist()
    required = sorted(np.flatnonzero(live).tolist(), key=lambda row: (mixed[row], row))
    assert np.argsort(np.where(live, ranks, 10**9))[: len(required)].tolist() == required
    assert sorted(ranks[live].tolist()) == list(range(len(required))) and (ranks[~live] == -1).all()


def test_no_rows():
    none, empty = np.zeros((0, 2), np.uint64), np.zeros(0, bool)
    assert len(order.shuffled_ranks(none, empty, 1, 0)) == 0
    assert len(threshold.assign(none, empty, Splits(0.5, 0.5), 1)) == 0
    assert len(temporal.assign(np.zeros(0, np.int64), empty, Splits(0.5, 0.5))) == 0
    assert len(exact.assign(None, none, empty, Splits(0.5, 0.5), 1, 0)) == 0
    assert len(exact.assign(np.zeros(0, np.uint64), none, empty, Splits(0.5, 0.5), 1, 0)) == 0
