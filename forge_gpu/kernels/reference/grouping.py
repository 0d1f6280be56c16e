"""Rows of the same shape: the plain meaning of `kernels/cpu/grouping.py`."""

from __future__ import annotations

import numpy as np

from forge_gpu.kernels.layout import I32, I64, U8


def group_rows(first: I64, code: U8, required: U8) -> tuple[I32, I64]:
    """Put rows together whose items are the same: row r has code[first[r]] ... code[first[r + 1] - 1].

    first: int64[n + 1], not falling, within code. code: uint8[m]. required: uint8[n], 0 leaves a row out.
    Returns the group of each row, int32[n], -1 where it is not wanted, and the first row of each group,
    int64[g]; groups are numbered by their first rows. Raises ValueError where `first` leaves `code`.
    """
    check(first, code, required)
    groups: dict[bytes, int] = {}
    examples: list[int] = []
    result = np.full(len(required), -1, np.int32)
    for row in np.flatnonzero(required).tolist():
        items = code[first[row] : first[row + 1]].tobytes()
        if items not in groups:
            groups[items] = len(examples)
            examples.append(row)
        result[row] = groups[items]
    return result, np.array(examples, np.int64)


def check(first: I64, code: U8, required: U8) -> None:
    """Raises ValueError where the rows cannot be read."""
    if len(first) != len(required) + 1:
        raise ValueError(f"`first` has {len(first)} items for {len(required)} rows")
    if first[0] < 0 or (first[1:] < first[:-1]).any() or first[-1] > len(code):
        raise ValueError("the rows lie outside of what they index")
