"""The rows of a prepared folder of tokens as they stood before they were packed."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from forge_gpu.errors import InputError
from forge_gpu.job.output.ledger import open_ledger
from forge_gpu.kernels.layout import I64
from forge_gpu.loading.lines import Slices
from forge_gpu.loading.mapped import I32, MappedSplit, mapped_split
from forge_gpu.plain import frozen
from forge_gpu.share.prepared import Prepared, reading

COLUMNS = ("file", "fate", "shard", "line", "tokens")


@frozen
class SplitRows:
    """Rows in the order that they have without packs. rows: int64[n], the number of each in the ledger.
    begin: int64[n], where its tokens begin in the mapped files; tokens: int64[n], how many it has. file:
    int64[n], the number of its input file."""

    mapped: MappedSplit
    rows: I64
    begin: I64
    tokens: I64
    file: I64

    def column(self, values: I32, chosen: I64) -> I32:
        """The values of some rows, one row behind the other."""
        pieces = [values[begin:end] for _, begin, end in self._slices(chosen)]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int32)

    def _slices(self, chosen: I64) -> Slices:
        begin, end = self.begin[chosen], self.begin[chosen] + self.tokens[chosen]
        return list(zip(chosen.tolist(), begin.tolist(), end.tolist(), strict=True))


@frozen
class Ledger:
    """The columns of a folder's ledger that say where rows are."""

    prepared: Prepared

    @cached_property
    def _table(self) -> pa.Table:
        names = [*COLUMNS, *(["place"] if self.prepared.config.output.packing != "none" else [])]
        with reading(self.prepared.ledger), open_ledger(self.prepared.ledger) as ledger:
            return ledger.read(columns=names).combine_chunks()

    @property
    def count(self) -> int:
        rows: int = self._table.num_rows
        return rows

    def split(self, name: str) -> SplitRows:
        """The rows of a split. Raises InputError where ledger and files do not fit together."""
        table, packing = self._table, self.prepared.config.output.packing
        files = self.prepared.split_files[name]
        first = np.concatenate(([0], np.cumsum([file.rows for file in files], dtype=np.int64)))
        codes, shards = _coded(table["shard"])
        known = {file.file: number for number, file in enumerate(files)}
        number_of = np.array([known.get(shard, -1) for shard in shards] or [-1], np.int64)
        rows = np.flatnonzero((codes >= 0) & (number_of[codes] >= 0))
        line = first[number_of[codes[rows]]] + _numbers(table["line"])[rows] - 1
        mapped = mapped_split(self.prepared, name)
        if not (line < len(mapped.at) - 1).all():
            raise self._differs()
        tokens = _numbers(table["tokens"])[rows]
        begin, order = mapped.at[line], np.argsort(line, kind="stable")
        if packing != "none":
            place = _numbers(table["place"])[rows]
            if packing == "wrapped":
                begin, order = begin + place, np.lexsort((place, line))
            else:
                begin, order = self._begin_in_packs(mapped, line, place), np.arange(len(rows))
        file, _ = _coded(table["file"])
        result = SplitRows(mapped, rows[order], begin[order], tokens[order], file[rows[order]])
        if not _follow(result, len(mapped.ids), is_padded(self.prepared)):
            raise self._differs()
        return result

    def _begin_in_packs(self, mapped: MappedSplit, line: I64, place: I64) -> I64:
        if mapped.lengths is None:
            raise self._differs()
        lengths, at = mapped.lengths
        begins = np.cumsum(lengths, dtype=np.int64) - lengths
        rows = at[line] + place
        if not (rows < len(lengths)).all():
            raise self._differs()
        begin: I64 = begins[rows]
        return begin

    def _differs(self) -> InputError:
        folder = self.prepared.folder
        return InputError(
            f"{folder}: its ledger does not fit its files; see forge verify, and prepare it again"
        )


def is_padded(prepared: Prepared) -> bool:
    """Whether its files have tokens that are of no row."""
    output = prepared.config.output
    return output.pad_rows_to > 1 or output.pad_to > 1


def _follow(rows: SplitRows, tokens: int, padded: bool) -> bool:
    """Whether the rows are all that the files have but padding, none twice."""
    order = np.lexsort((rows.tokens, rows.begin))
    if padded:
        begins, ends = rows.begin[order], rows.begin[order] + rows.tokens[order]
        return bool((begins[1:] >= ends[:-1]).all() and (ends <= tokens).all())
    ends = np.cumsum(rows.tokens[order])
    return np.array_equal(rows.begin[order], ends - rows.tokens[order]) and int(ends[-1:].sum()) == tokens


def _numbers(column: pa.ChunkedArray) -> I64:
    """int64[n]; 0 where there is none."""
    numbers: I64 = column.fill_null(0).to_numpy()
    return numbers


def _coded(column: pa.ChunkedArray) -> tuple[I64, list[str]]:
    """(the number of each row's word, int64[n], -1 where there is none; the words)."""
    column = column.unify_dictionaries().combine_chunks()
    chunk = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    return chunk.indices.fill_null(-1).to_numpy().astype(np.int64), chunk.dictionary.to_pylist()
