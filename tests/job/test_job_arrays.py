"""Named arrays in one file."""

from pathlib import Path

import numpy as np
import pytest

from forge_gpu.errors import OutputError
from forge_gpu.job.state import arrays

HELD: dict[str, np.ndarray] = {
    "bytes": np.arange(7, dtype=np.uint8),
    "pairs": np.arange(10, dtype=np.uint64).reshape(5, 2),
    "none": np.zeros((0, 2), np.int64),
    "fortran": np.arange(6, dtype=np.float64).reshape(2, 3).T,
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    arrays.write(path, HELD)
    result = arrays.read(path, None)
    assert result.keys() == HELD.keys()
    for name, array in HELD.items():
        assert result[name].dtype == array.dtype and result[name].flags.writeable
        np.testing.assert_array_equal(result[name], array)
    assert arrays.read(path, ("pairs", "absent")).keys() == {"pairs"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.index"]


def test_a_torn_file_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    arrays.write(path, HELD)
    data = path.read_bytes()
    assert arrays.is_whole(path)
    for size in range(len(data)):
        path.write_bytes(data[:size])
        assert not arrays.is_whole(path), size
        path.write_bytes(data[:size] + bytes(len(data) - size))
        assert not arrays.is_whole(path) or data[size:].strip(b"\0") == b"", size
    with pytest.raises(OutputError, match=r"a\.index: is damaged .*--fresh"):
        path.write_bytes(data[:-9])
        arrays.read(path, None)
