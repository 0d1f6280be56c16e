"""Splits that are decided on a device are those of the host, whatever room there is."""

from __future__ import annotations

import numpy as np
import pytest

from forge_gpu.engine.gpu.arrays import DeviceArrays
from forge_gpu.kernels.arrays import HOST
from forge_gpu.split import exact, groups, mixture, order, select, temporal, threshold
from forge_gpu.split.fractions import Splits
from tests.kernels.host_device import HostDevice

SPLITS = Splits(0.7, 0.2, 0.1)


@pytest.mark.parametrize("rows", [0, 1, 2, 700])
@pytest.mark.parametrize("block", [40, 10_000])
def test_splits_are_those_of_the_host(rows: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "BLOCK", block)
    random = np.random.default_rng(rows)
    hashes = random.integers(0, 2**64, (rows, 2), np.uint64)
    hashes[random.random(rows) < 0.1] = 5  # one key of many rows
    live, times = random.random(rows) < 0.9, random.integers(-9, 9, rows)
    stratum = random.integers(0, 5, rows).astype(np.uint64) * np.uint64(2**61)
    group = groups.groups_of(random.integers(1, rows // 4 + 2, rows).astype(np.uint64), live)
    source = random.integers(0, 3, rows).astype(np.uint32)
    size = random.integers(0, 50, rows).astype(np.uint32)
    device = HostDevice()
    there = DeviceArrays(device, 100 * select.BLOCK, at_once=100)

    for budget in (0, 2**20):
        drawn_by = hashes, live, SPLITS, 3, budget
        for strata in (None, stratum):
            assert _same(exact.assign(strata, *drawn_by, there), exact.assign(strata, *drawn_by, HOST))
            made, expected = (groups.assign(group, strata, *drawn_by, arrays) for arrays in (there, HOST))
            assert _same(made.fates, expected.fates) and made.reasons == expected.reasons
        ranks = hashes, live, 3, budget
        assert _same(order.shuffled_ranks(*ranks, there), order.shuffled_ranks(*ranks, HOST))
        sample = source, hashes, live, size, [1.0, 2.0, 0.5], [9, None, 40], [1, 2, 3], 3, 8, budget
        drawn, plain = (mixture.sample_repeated(*sample, arrays)[0] for arrays in (there, HOST))
        assert _same(drawn.copies(source), plain.copies(source))
    assert _same(temporal.assign(times, live, SPLITS, there), temporal.assign(times, live, SPLITS))
    assert _same(threshold.assign(hashes, live, SPLITS, 3, there), threshold.assign(hashes, live, SPLITS, 3))
    assert device.made or not rows
    assert device.held == 0


def _same(result: np.ndarray, expected: np.ndarray) -> bool:
    assert isinstance(result, np.ndarray) and result.dtype == expected.dtype
    return np.array_equal(result, expected)
