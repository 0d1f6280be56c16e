"""Rows of a band in parts: the same rows whatever room there is, in order, and no file is left."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pytest

from forge_gpu.dedup import parted
from forge_gpu.dedup.parted import BYTES_A_ROW, PartedRows
from forge_gpu.kernels.layout import U64


def in_parts(
    hashes: U64, sizes: list[int], room: int, folder: Path, expected: int | None = None
) -> list[Any]:
    """The parts of rows that are added so many at a time."""
    ends = [*np.cumsum(sizes).tolist(), len(hashes)]
    rows = np.arange(len(hashes), dtype=np.uint32) * np.uint32(3)
    with closing(PartedRows(len(hashes) if expected is None else expected, room, folder)) as held:
        for begin, end in zip([0, *ends], ends, strict=False):
            held.add(hashes[begin:end], rows[begin:end])
        return list(held.parts())


@pytest.mark.parametrize("room", [0, 2_000 * BYTES_A_ROW, 2**30])
@pytest.mark.parametrize("expected", [None, 0, 10**9])
def test_parts_have_all_rows_by_ranges_of_the_hash(tmp_path: Path, room: int, expected: int | None) -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64, 30_000, np.uint64)
    hashes[::50] = hashes[0]
    parts = in_parts(hashes, [1, 0, 9_999, 5_000, 777, 0], room, tmp_path, expected)
    assert list(tmp_path.iterdir()) == []
    in_order = np.argsort(hashes, kind="stable")
    joined = np.concatenate([rows[np.argsort(part, kind="stable")] for part, rows in parts]) // 3
    assert np.array_equal(joined, in_order)
    for part, rows in parts:
        assert np.array_equal(hashes[rows // 3], part) and (np.diff(rows.astype(np.int64)) > 0).all()
    if expected is None:
        assert (len(parts) > 8) == (room < 2**30)
        assert max(len(part) for part, _ in parts) < 1.3 * max(room // BYTES_A_ROW, 1024) + 600


def test_no_rows_and_rows_of_one_hash(tmp_path: Path) -> None:
    ((hashes, rows),) = in_parts(np.zeros(0, np.uint64), [], 0, tmp_path)
    assert not len(hashes) and not len(rows)
    parts = in_parts(np.full(5_000, 2**64 - 1, np.uint64), [100] * 40, 0, tmp_path)
    assert [len(part) for part, _ in parts] == [*[0] * (len(parts) - 1), 5_000]


def test_a_full_disk_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, **options: Any) -> None:
            self._file = TemporaryFile(**options)  # noqa: SIM115 (closed by `close`)
            self.tell, self.fileno, self.close = self._file.tell, self._file.fileno, self._file.close

        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    with pytest.raises(OSError, match="No space left"):
        in_parts(np.arange(9_000, dtype=np.uint64), [3_000, 3_000], 0, tmp_path)
    assert parted._LEAST_ROWS < 3_000
