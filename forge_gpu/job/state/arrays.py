"""Named arrays in one small file, each readable by itself.

A line of JSON says of each array its type, shape, place after that line, and XXH3-64; then come their bytes.
So a file that a loss of power has torn is known, and nothing waits for the disk when one is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import write_checked
from forge_gpu.kernels.cpu.hashing import checksum


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays of numbers; see `is_whole`. Raises OutputError."""
    header: dict[str, list[Any]] = {}
    bodies: list[bytes] = []
    at = 0
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        header[name] = [_spelled(array.dtype), array.shape, at, checksum(array)]
        bodies.append(array.tobytes())
        at += array.nbytes
    write_checked(path, b"".join([orjson.dumps(header), b"\n", *bodies]))


def is_whole(path: Path) -> bool:
    """Whether the file is as it was written."""
    try:
        read(path, None)
    except OutputError:
        return False
    return True


def read(path: Path, required: Collection[str] | None) -> dict[str, np.ndarray]:
    """Those of the named arrays that the file has, in memory of their own; all, where `required` is None.

    Raises OutputError where the file is not as it was written.
    """
    with path.open("rb") as file:
        try:
            line = file.readline()
            header = orjson.loads(line)
            names = header.keys() if required is None else header.keys() & frozenset(required)
            return {name: _array(file, len(line), *header[name]) for name in names}
        except (ValueError, TypeError, AttributeError) as fault:
            raise OutputError(f"{path}: is damaged ({fault}); start anew with --fresh") from None


def _spelled(dtype: np.dtype) -> Any:
    """A type as JSON: its code, or a list of fields."""
    return dtype.str if dtype.names is None else [[key, dtype[key].str] for key in dtype.names]


def _array(file: BufferedReader, begin: int, kind: Any, shape: list[int], at: int, known: int) -> np.ndarray:
    dtype = np.dtype(kind if isinstance(kind, str) else [(key, code) for key, code in kind])
    array = np.empty(shape, dtype)
    file.seek(begin + at)
    if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes or checksum(array) != known:
        raise ValueError("its bytes changed")
    return array
