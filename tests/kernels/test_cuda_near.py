"""What decides near-duplicates on a device, by the reference: shared shingles, components, the nearest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.reference import shingles, union
from forge_gpu.kernels.reference.jsontext import text_of
from forge_gpu.kernels.reference.shingles import CHARACTERS, WORDS, fold_table
from tests.kernels.cuda_backends import SIMULATED, open_device, run_simulated

BACKENDS = [pytest.param("sim", marks=pytest.mark.sim), pytest.param("gpu", marks=pytest.mark.gpu)]
FOLD = fold_table(True, True, False)
ROWS = [
    b"", b" \n ", b"a", b"abcd", b"abcde", b"ABCDE ", b"abcdef", "Straße, 雪 und \U0001f600".encode(),
    b"one two three four five six", b"one  two three four\tFIVE six seven", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"\xff\xfe\x80abc\xe4", b"\xc3", b"the quick brown fox jumps over the lazy dog " * 4,
    b"the quick brown fox jumps over the lazy cat " * 3,
]  # fmt: skip
EVERY = np.stack(np.meshgrid(np.arange(len(ROWS)), np.arange(len(ROWS))), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("kind", "n"), [(CHARACTERS, 5), (CHARACTERS, 1), (WORDS, 2), (WORDS, 32)])
def test_what_pairs_share(backend: str, kind: int, n: int) -> None:
    from forge_gpu.kernels.cuda.sets import shared_shingles

    device, fold = open_device(backend), FOLD
    whole = text_of(ROWS)
    values, offsets = shingles.distinct(whole.data, whole.offsets, kind, n, fold)
    pairs = EVERY[:: 1 if n == 5 else 7].astype(np.int64)
    expected = shingles.intersections(values, offsets, values, offsets, pairs)
    # The rows come in blocks; one of them begins inside its buffer, and one has no rows.
    last = text_of([b"not one of them", *ROWS[9:]])
    texts = [text_of(ROWS[:9]), text_of([]), Text(last.data, last.offsets[1:])]
    texts[0] = Text(device.upload(texts[0].data), texts[0].offsets)
    shared, both = map(device.download, shared_shingles(texts, pairs, kind, n, fold, device))
    assert shared.tolist() == expected.tolist() and shared.dtype == both.dtype == np.int64
    assert both.tolist() == np.diff(offsets)[pairs].sum(axis=1).tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hash_that_is_zero(backend: str) -> None:
    """No text is known that has it, so tables are made by hand: the last slot says that a set has it."""
    from forge_gpu.kernels.cuda.sets import BLOCK, meet

    device = open_device(backend)
    tables = [[7 << 60, 0, 1], [7 << 60, 0, 0], [0, 7 << 60, 9 << 60, 0, 1], [1]]
    first = np.cumsum([0, *map(len, tables)]).astype(np.int64)
    slots = np.array([slot for table in tables for slot in table], np.uint64)
    pairs = np.array([[0, 1], [1, 0], [0, 2], [2, 1], [0, 3], [3, 3], [2, 2]], np.int64)
    shared = device.xp.zeros(len(pairs), np.int64)
    arrays = map(device.upload, (slots, first, pairs))
    device.launch(meet, BLOCK * len(pairs), *arrays, shared, block=BLOCK)
    # 7 << 60 belongs into the first slot of two, and into the second of four: 7/16 of the way.
    assert device.download(shared).tolist() == [1, 1, 2, 1, 1, 1, 3]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(4))
def test_components_and_the_nearest(backend: str, seed: int) -> None:
    from forge_gpu.kernels.cuda.union import united

    device, chance = open_device(backend), np.random.default_rng(seed)
    rows = 60
    state: list[Any] = [np.arange(rows), np.full(rows, -1), np.zeros(rows)]
    expected: Any = [array.copy() for array in state]
    for count in (0, 1, 25, 90):
        b = chance.integers(0, rows - 1, count)
        pairs = np.stack((b + 1 + chance.integers(0, rows - 1 - b), b), axis=1).astype(np.int64)
        similarity = chance.integers(0, 5, count) / 4
        union.unite(expected[0], pairs)
        union.flatten(expected[0])
        union.keep_nearest(pairs, similarity, expected[1], expected[2])
        made = united(state[0], state[1], state[2], pairs, similarity, device)
        state = [device.download(array) for array in made]
        for have, wanted in zip(state, expected, strict=True):
            assert have.tolist() == wanted.tolist() and have.dtype == wanted.dtype
    assert len(set(state[0].tolist())) < rows / 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_chain_and_a_star(backend: str) -> None:
    from forge_gpu.kernels.cuda.union import united

    device, rows = open_device(backend), 64
    chain = np.stack((np.arange(1, rows), np.arange(rows - 1)), axis=1)
    star = np.stack((np.arange(1, rows), np.zeros(rows - 1, np.int64)), axis=1)
    for pairs in (chain, chain[::-1].copy(), star):
        none = np.arange(rows), np.full(rows, -1), np.zeros(rows)
        roots, partner, nearest = map(device.download, united(*none, pairs, np.ones(rows - 1), device))
        assert not roots.any() and (nearest == 1).all()
        assert partner.tolist() == ([1, *[0] * (rows - 1)] if pairs is star else [1, 0, *range(1, rows - 1)])


@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_in_the_simulator() -> None:
    run_simulated(__file__)
