"""The tokens of all rows of a job, as files in `.forge/tokens/` that grow in the order of the input.

`rows`: ROW, an item a row, so that the length of any row is read from one mapped file. `ids`: uint32, and
`weights`: uint8, an item a token: those of rows that wait for a decision that depends on their lengths. The
ids of a row stand together; where they begin is said by its item. Where nothing depends on lengths, `rows`
alone is there, and the second pass makes it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from forge_gpu.errors import OutputError
from forge_gpu.io.growing import GrowingFile
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.plain import frozen

ROW = np.dtype(
    [
        ("at", "<i8"),
        ("tokens", "<u4"),
        ("longest", "<u4"),
        ("trained", "<u4"),
        ("straddling", "<u4"),
        ("control_text", "<u4"),
        ("cut_tokens", "<u4"),
        ("cut_messages", "<u4"),
    ]
)
"""at: where its ids begin, NOWHERE where they are not in the files. tokens: it has, after it was cut;
longest: of them in the longest text that a trainer makes of it, which is all but of a pair; trained: of them
that are trained. straddling: trained tokens over an edge of what is trained; control_text:
control tokens that its contents spell: both as it was before. cut_tokens, cut_messages: what was cut off.
All are 0 of a row that was not encoded."""

NOWHERE = -1
BYTES_OF_A_TOKEN = 5
"""In `ids` and `weights`."""


@frozen
class TokenRows:
    """Some consecutive rows. table: ROW[n], whose `at` counts from the first of the ids; ids: uint32[t];
    weights: uint8[t]."""

    table: np.ndarray
    ids: npt.NDArray[np.uint32]
    weights: U8


def nothing(rows: int) -> np.ndarray:
    """The items of rows that are not encoded: ROW[rows]."""
    table = np.zeros(rows, ROW)
    table["at"] = NOWHERE
    return table


class TokenWriter:
    """Appends to the files. rows, tokens: what an earlier run left in them, and is on the disk. tokens: None
    where there are to be no ids. Raises OutputError."""

    def __init__(self, folder: Path, rows: int, tokens: int | None) -> None:
        self._rows = GrowingFile(folder / "rows", rows * ROW.itemsize)
        self._files = [self._rows]
        self.tokens = tokens or 0
        if tokens is not None:
            self._ids = GrowingFile(folder / "ids", tokens * 4)
            self._weights = GrowingFile(folder / "weights", tokens)
            self._files += [self._ids, self._weights]

    def append(self, made: TokenRows) -> None:
        table = made.table
        if len(made.ids):
            table = table.copy()
            table["at"][table["at"] != NOWHERE] += self.tokens
            self._ids.write(made.ids.view(np.uint8))
            self._weights.write(made.weights)
            self.tokens += len(made.ids)
        self._rows.write(table.view(np.uint8))

    def sync(self) -> None:
        for file in self._files:
            file.begin_sync()
        for file in self._files:
            file.sync()

    def close(self) -> None:
        for file in self._files:
            file.close()


@frozen
class TokenTable:
    """The files as they are read, once they are whole; it may travel to another process."""

    folder: Path

    def rows(self, count: int) -> np.ndarray:
        """The items of all rows, mapped: ROW[count]. Raises OutputError."""
        return self._mapped("rows", ROW, count)

    def ids(self, table: np.ndarray) -> TokenRows:
        """Some consecutive rows with their ids. table: their items."""
        present = table["at"] != NOWHERE
        if not present.any():
            return TokenRows(table, np.zeros(0, np.uint32), np.zeros(0, np.uint8))
        begin = int(table["at"][present][0])
        end = int(table["at"][present][-1] + table["tokens"][present][-1])
        own = table.copy()
        own["at"][present] -= begin
        return TokenRows(own, np.asarray(self._ids[begin:end]), np.asarray(self._weights[begin:end]))

    def of(self, table: np.ndarray) -> SpooledRows:
        return SpooledRows(self, table)

    @cached_property
    def _ids(self) -> np.ndarray:
        return self._mapped("ids", np.dtype("<u4"), None)

    @cached_property
    def _weights(self) -> np.ndarray:
        return self._mapped("weights", np.dtype(np.uint8), None)

    def _mapped(self, name: str, dtype: np.dtype, count: int | None) -> np.ndarray:
        path = self.folder / name
        try:
            size = path.stat().st_size // dtype.itemsize
            if count is not None and size < count:
                raise OutputError(f"{path}: holds {size} rows, not {count}; start anew with --fresh")
            count = size if count is None else count
            return np.memmap(path, dtype, "r", shape=(count,)) if count else np.zeros(0, dtype)
        except FileNotFoundError:
            raise OutputError(f"{path}: is gone; start anew with --fresh") from None


@frozen
class SpooledRows:
    """Consecutive rows whose ids are in the files. table: their items."""

    files: TokenTable
    table: np.ndarray

    def of(self, first: int, count: int) -> TokenRows:
        """Some of them, with their ids."""
        return self.files.ids(self.table[first : first + count])


def pieces_of(tokens: np.ndarray, most: int) -> I64:
    """How many pieces of at most so many tokens rows are, where they are split: int64[n], at least 1."""
    return np.maximum(-(-tokens.astype(np.int64) // most), 1)


def pieces_within(offsets: I64, most: int) -> tuple[I64, I64]:
    """(how many pieces each row is, int64[n]; where the tokens of each piece begin, int64[p + 1]), where the
    tokens of rows stand one behind the other."""
    count = pieces_of(np.diff(offsets), most)
    first = np.cumsum(count) - count
    place = np.arange(int(count.sum())) - np.repeat(first, count)
    return count, np.append(np.repeat(offsets[:-1], count) + place * most, offsets[-1])


def offsets_of(table: np.ndarray) -> I64:
    """Where the tokens of rows begin that stand one behind the other: int64[n + 1]."""
    return np.concatenate(([0], np.cumsum(table["tokens"], dtype=np.int64)))
