"""Rows of lists: what tokens become in the columns of the output."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import I64
from forge_gpu.plain import frozen


@frozen
class ListRows:
    """n rows whose columns are all lists of numbers. columns: of each its numbers, int32[t], and where the
    lists begin in them, int64[n + 1]."""

    columns: Mapping[str, tuple[npt.NDArray[np.int32], I64]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))[1]) - 1

    def taken(self, rows: I64) -> ListRows:
        """Some rows, in this order."""
        if len(rows) == len(self) and np.array_equal(rows, np.arange(len(self))):
            return self
        return ListRows({name: _taken(*column, rows) for name, column in self.columns.items()})


def _taken(numbers: npt.NDArray[np.int32], offsets: I64, rows: I64) -> tuple[npt.NDArray[np.int32], I64]:
    length = offsets[rows + 1] - offsets[rows]
    bounds: I64 = np.concatenate(([0], np.cumsum(length)))
    return numbers[np.repeat(offsets[rows] - bounds[:-1], length) + np.arange(bounds[-1])], bounds
