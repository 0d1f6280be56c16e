"""hashing: both engines of XXH3 against the xxhash package."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu import hashing as cpu
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.reference import hashing as reference
from forge_gpu.kernels.scratch import Scratch
from tests.kernels.adversarial import edge_text, run_checked

SCRATCH = Scratch()
SEEDS = [0, 1, 0xDEADBEEF12345678, 2**63, 2**64 - 1]


def random_rows(lengths: list[int]) -> list[bytes]:
    generator = np.random.default_rng(len(lengths))
    return [generator.bytes(length) for length in lengths]


# Every length of the short paths and of two blocks of the long one, and the edges of later blocks.
ROWS = random_rows([*range(1101), 2048, 2049, 2112, 3072, 3073, 10_000])
REFERENCE_ROWS = random_rows([*range(0, 260), 300, 320, 1023, 1024, 1025, 1088, 1089, 2048, 2049])


def wide(pair: np.ndarray) -> int:
    return int(pair[0]) | int(pair[1]) << 64


def test_128_bits_equal_xxhash() -> None:
    hashes = cpu.xxh3_128(edge_text(ROWS), SCRATCH)
    assert [wide(pair) for pair in hashes] == [xxhash.xxh3_128_intdigest(row) for row in ROWS]


@pytest.mark.parametrize("seed", SEEDS)
def test_64_bits_equal_xxhash(seed: int) -> None:
    hashes = cpu.xxh3_64(edge_text(ROWS), seed, SCRATCH)
    assert [int(value) for value in hashes] == [xxhash.xxh3_64_intdigest(row, seed) for row in ROWS]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_equals_xxhash(seed: int) -> None:
    text = edge_text(REFERENCE_ROWS)
    expected = [xxhash.xxh3_64_intdigest(row, seed) for row in REFERENCE_ROWS]
    assert reference.xxh3_64(text, seed, SCRATCH).tolist() == expected
    pairs = reference.xxh3_128(text, SCRATCH)
    assert [wide(pair) for pair in pairs] == [xxhash.xxh3_128_intdigest(row) for row in REFERENCE_ROWS]


@given(rows=st.lists(st.binary(max_size=700), max_size=8), seed=st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=60)
def test_any_rows_with_any_seed(rows: list[bytes], seed: int) -> None:
    text = edge_text(rows)
    assert cpu.xxh3_64(text, seed, SCRATCH).tolist() == [xxhash.xxh3_64_intdigest(row, seed) for row in rows]
    assert [wide(pair) for pair in cpu.xxh3_128(text, SCRATCH)] == [
        xxhash.xxh3_128_intdigest(row) for row in rows
    ]


def test_a_sliced_text() -> None:
    text = edge_text(ROWS[:300])
    part = Text(text.data, text.offsets[100:201])
    assert (cpu.xxh3_128(part, SCRATCH) == reference.xxh3_128(part, SCRATCH)).all()


@pytest.mark.parametrize("offsets", [[0, 4], [2, 1], [-1, 2], [0, 2**62], [2**62, 2**62 + 1]])
def test_a_row_outside_the_data_is_refused(offsets: list[int]) -> None:
    text = Text(edge_text([b"abc"]).data, np.array(offsets, np.int64))
    for call in (lambda: cpu.xxh3_128(text, SCRATCH), lambda: cpu.xxh3_64(text, 0, SCRATCH)):
        with pytest.raises(ValueError, match="row 0 of a text lies outside"):
            call()


def spans(rows: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    text = edge_text(rows)
    return text.data, text.offsets[:-1], np.diff(text.offsets)


def test_the_digest_is_the_sum_of_hashes_in_any_order() -> None:
    data, start, length = spans(REFERENCE_ROWS)
    expected = sum(xxhash.xxh3_64_intdigest(row) for row in REFERENCE_ROWS) % 2**64
    backwards = start[::-1], length[::-1]
    for module in (cpu, reference):
        assert module.digest(data, start, length) == module.digest(data, *backwards) == expected
        assert module.digest(data, start[:0], length[:0]) == 0


@pytest.mark.parametrize(
    ("start", "length"), [(-1, 2), (2, -1), (0, 2**62), (2**62, 2), (2**63 - 1, 2**63 - 1)]
)
def test_a_span_outside_the_data_is_refused(start: int, length: int) -> None:
    data, _, _ = spans([b"abc"])
    with pytest.raises(ValueError, match="span 1 lies outside"):
        cpu.digest(data, np.array([0, start]), np.array([3, length]))


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    for module in (cpu, reference):
        with pytest.raises(ValueError, match="no unsigned 64-bit integer"):
            module.xxh3_64(edge_text([b"a"]), seed, SCRATCH)


def test_hashes_in_checked_mode() -> None:
    run_checked(__file__)
