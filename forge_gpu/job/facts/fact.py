"""How a fact of a row is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import Config
from forge_gpu.job.facts.columns import Columns
from forge_gpu.plain import frozen

if TYPE_CHECKING:
    from forge_gpu.job.rows.rows import Rows
    from forge_gpu.job.rows.workspace import Workspace


def always(config: Config) -> bool:
    return True


def one_item(config: Config) -> int:
    return 1


def no_columns(config: Config) -> Sequence[str]:
    return ()


@frozen
class Fact:
    """What the first pass computes of each row.

    name: of its array in the index. dtype: of an item; one with fields, `index.ROW` first, makes it sparse:
    only some rows have the fact. required: whether a plan needs it. compute: from the rows of a chunk its
    array, of [n] or, where a row has several items, [n, width]. It may reject rows (`rows.reason`), if it
    stands before the fact `reason`. inputs: columns of the input that it is computed from. at_once: whether
    the decisions get it as an array of all rows; else each item of the width is an array of the index, to be
    read by itself. columns: of the ledger.
    """

    name: str
    dtype: np.dtype
    compute: Callable[[Workspace, Rows], np.ndarray]
    required: Callable[[Config], bool] = always
    width: Callable[[Config], int] = one_item
    inputs: Callable[[Config], Sequence[str]] = no_columns
    at_once: bool = True
    columns: Columns | None = None

    @property
    def is_sparse(self) -> bool:
        return self.dtype.names is not None

    def item_name(self, item: int) -> str:
        """The array in the index of one item of the width, where they are read by themselves."""
        return f"{self.name}_{item:03d}"

    def as_stored(self, array: np.ndarray) -> Mapping[str, np.ndarray]:
        """What was computed as the arrays of the index."""
        if self.at_once:
            return {self.name: array}
        return {self.item_name(item): array[:, item] for item in range(array.shape[1])}

    def shape(self, rows: int, config: Config) -> tuple[int, ...]:
        """Of the array of so many rows."""
        width = self.width(config)
        return (rows,) if width == 1 else (rows, width)

    def row_bytes(self, config: Config) -> int:
        """Bytes of a row in the index; of a sparse fact nothing, for few rows have it."""
        return 0 if self.is_sparse else self.dtype.itemsize * self.width(config)


def fact_of_columns(
    name: str,
    dtype: npt.DTypeLike,
    compute: Callable[[Workspace, Rows], np.ndarray],
    columns: Callable[[Config], Sequence[str]],
) -> Fact:
    """A fact that is computed from columns of the input, and required where a plan names any."""
    return Fact(name, np.dtype(dtype), compute, required=lambda config: bool(columns(config)), inputs=columns)
