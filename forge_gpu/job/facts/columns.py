"""How columns of the ledger are declared, and what they are filled from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forge_gpu.config.schema import Config
from forge_gpu.io.to_arrow import numbers_to_arrow, texts_to_arrow
from forge_gpu.job.rows.evaluation import Evaluation
from forge_gpu.job.rows.expansions import has_parts
from forge_gpu.job.state.decisions import Decisions
from forge_gpu.kernels.layout import I64
from forge_gpu.plain import frozen

TEXT = pa.dictionary(pa.int32(), pa.string())

Bool = npt.NDArray[np.bool_]


@frozen
class Column:
    """type: of Arrow. doc: what it is, as `docs/outputs.md` says it. of_parts: there only where a plan makes
    several rows of one."""

    name: str
    type: pa.DataType
    doc: str
    nullable: bool = True
    of_parts: bool = False


@frozen
class Columns:
    """Columns that are filled together. required: whether the ledger of a plan has them."""

    columns: tuple[Column, ...]
    required: Callable[[Config], bool]
    fill: Callable[[LedgerRows], Sequence[pa.Array]]

    def of(self, config: Config) -> list[Column]:
        """Those that the ledger of a plan has."""
        return [column for column in self.columns if not column.of_parts or has_parts(config)]


class Files:
    """Where rows are: files, and in `starts`, int64[files + 1], the number of each one's first row.

    record, part: int64[n], int32[n], of all rows of the job: the job's number of the record that each is made
    of, and which part of it; None where every row is a record.
    """

    def __init__(
        self, names: Sequence[str], starts: I64, record: I64 | None = None, part: np.ndarray | None = None
    ) -> None:
        self.names, self.starts = texts_to_arrow(names), starts
        self._record, self._part = record, part

    def in_file(self, rows: I64, file: I64) -> I64:
        """The numbers that rows have in their files. rows, file: int64[m]."""
        first = self.starts[file]
        if self._record is None:
            return rows - first
        numbers: I64 = self._record[rows] - self._record[first]
        return numbers

    def place(self, rows: I64) -> list[pa.Array]:
        """The file, and the number there, of each row, and which part it is, where there are any; null where
        it is -1."""
        absent = rows < 0
        present = np.flatnonzero(~absent)
        file, row = np.zeros((2, len(rows)), np.int64)
        file[present] = np.searchsorted(self.starts, rows[present], side="right") - 1
        row[present] = self.in_file(rows[present], file[present])
        columns = [coded(file, self.names, absent), numbers(row, absent)]
        if self._part is not None:
            part = np.full(len(rows), -1, np.int64)
            part[present] = self._part[rows[present]]
            columns.append(numbers(part, part < 0))
        return columns


@frozen
class LedgerRows:
    """Rows `begin` ... `end` - 1 of a job. files: of the input. shards: names of the output files. shard,
    line: of each row its place in them, where it is in a split. evaluation: what the rows were compared with.
    """

    decisions: Decisions
    begin: int
    end: int
    files: Files
    shards: pa.Array
    shard: I64
    line: I64
    evaluation: Evaluation | None

    def __len__(self) -> int:
        return self.end - self.begin

    def of(self, whole: np.ndarray) -> np.ndarray:
        """Their share of an array of all rows."""
        return np.asarray(whole[self.begin : self.end])

    def first_of(self, of_copies: np.ndarray) -> np.ndarray:
        """Their share of an array of all rows, or of all copies of rows, where these are repeated."""
        return self.decisions.first_of(of_copies, slice(self.begin, self.end))

    def fact(self, name: str) -> np.ndarray:
        """Their share of a fact that has columns; of a sparse one, with numbers counted from their first."""
        whole = self.decisions.facts[name]
        if whole.dtype.names is None:
            return self.of(whole)
        row = whole.dtype.names[0]
        share: np.ndarray = np.array(whole[slice(*np.searchsorted(whole[row], (self.begin, self.end)))])
        share[row] -= self.begin
        return share

    @cached_property
    def matched_files(self) -> Files:
        """The evaluation files."""
        assert self.evaluation is not None
        return Files(self.evaluation.files, self.evaluation.starts)


def numbers(values: np.ndarray, absent: Bool | None = None) -> pa.Array:
    """Integers or reals of 64 bits, null where absent."""
    return numbers_to_arrow(values, pa.float64() if values.dtype.kind == "f" else pa.int64(), absent)


def coded(codes: np.ndarray, words: pa.Array, absent: Bool | None = None) -> pa.DictionaryArray:
    """Texts by their number among words, null where absent."""
    return pa.DictionaryArray.from_arrays(numbers_to_arrow(codes.astype(np.int32), pa.int32(), absent), words)
