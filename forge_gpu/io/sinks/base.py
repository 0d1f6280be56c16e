"""What an output format is: the names of its files, a sink that makes them, and how they are read back."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from forge_gpu.io.growing import Write
from forge_gpu.io.remote import RemotePath
from forge_gpu.kernels.layout import Spans, Text
from forge_gpu.plain import frozen

if TYPE_CHECKING:
    import pyarrow as pa

OutputPath = Path | RemotePath
"""Of a file or folder of output: on this machine, or at a URL."""

Positions = Mapping[str, int]
"""For each unfinished file, by its name, the bytes that are known to be on the disk."""

OnBlock = Callable[[int, int], None]
"""Is called with the rows and the bytes that were just read of a file; raises to stop."""


@frozen
class Written:
    """A finished file. rows: those that count as its own; 0 where it only goes with another one."""

    path: Path
    rows: int


class Field(Protocol):
    """A column of the output, and what makes a value of it sound."""

    @property
    def name(self) -> str: ...

    @property
    def may_be_null(self) -> bool: ...

    def is_sound(self, column: Spans) -> npt.NDArray[np.bool_]:
        """bool[n], for the values of scanned lines."""


class Sink(Protocol):
    """Takes the rows of one split, in their order, and makes files of them. Its methods raise OutputError."""

    def append(self, lines: Text) -> None:
        """Add rows: each a line of JSON with its newline; valid for the time of the call."""

    def begin_sync(self) -> None:
        """Have the disk take what was appended, without waiting for it."""

    def sync(self) -> Positions:
        """Bring to the disk what is needed to go on behind the rows appended so far: where they end, in each
        file that this sink has written to. The positions of others stay as they were."""

    def finish(self) -> list[Written]:
        """Make the files whole and give them their names. What a run that is killed now would need to do so
        again stays, until the job is finished."""

    def close(self) -> None:
        """Close what is open, after a failure too; the files stay as they are."""


class PlacingSink(ABC):
    """A sink that knows where rows go before it writes them."""

    def append(self, lines: Text) -> None:
        """See `Sink.append`."""
        self.place(lines)()

    @abstractmethod
    def place(self, lines: Text) -> Write:
        """Add rows, as `append` does, but leave the writing to the caller: it is done before `begin_sync`,
        `sync` or `finish` is called, in any order."""


def placed(sink: Sink, lines: Text) -> Write:
    """Add rows to any sink, and what is left to do for them; see `PlacingSink.place`."""
    if isinstance(sink, PlacingSink):
        return sink.place(lines)
    sink.append(lines)
    return is_written


def is_written() -> None:
    """Nothing is left to do."""


class ColumnSink(Sink, Protocol):
    """A sink of a format that takes columns."""

    def place_columns(self, rows: pa.RecordBatch) -> Write:
        """Add rows as columns, of the schema that `lines.schema_of` makes of the split's, where no lines are
        added; what is left to do for them, as `PlacingSink.place` has it."""


@frozen
class SplitRows:
    """The rows of a split. stem: what the names of its files begin with. rows: how many were decided;
    written: how many of them an earlier run left. columns: as in the manifest; {} for lines of other keys."""

    stem: str
    rows: int
    rows_per_shard: int | None
    columns: Mapping[str, str]
    written: int = 0


class Format(Protocol):
    """An output format. The module of its name in this folder has one as FORMAT."""

    @property
    def takes_columns(self) -> bool:
        """Whether its sinks are a ColumnSink."""

    def names(self, stem: str, rows: int, rows_per_shard: int | None) -> list[tuple[str, ...]]:
        """The files of each shard of a split; the first is where the ledger says that a row is."""

    def is_own(self, file: str, stem: str) -> bool:
        """Whether a name is one of a split's finished files, for any number of rows."""

    def is_unfinished(self, file: str, stem: str) -> bool:
        """Whether a name is one of the files that there are only until the job is finished."""

    def open(self, folder: Path, split: SplitRows, positions: Positions) -> Sink:
        """A sink that goes on at the positions; at the first row where there are none. Raises OutputError."""

    def room(self, lines: int) -> int:
        """Bytes of disk that so many bytes of lines take, at most, until the job is finished."""

    def batches(
        self, path: OutputPath, columns: Mapping[str, str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a finished file, in batches of at most `batch_rows`. Raises ForgeError."""

    def check(
        self,
        path: Path,
        fields: Sequence[Field],
        on_block: OnBlock,
        beside: Executor | None,
    ) -> tuple[int, str]:
        """Read a finished file; its rows and its SHA-256.

        fields: columns that every row must have. beside: may look at rows while the file is hashed.
        Raises ValidationError.
        """


@frozen
class FileFormat:
    """What formats share whose rows lie in one file, or in a file for each so many rows.

    suffix: of a finished file; unfinished: of those there are until then.
    """

    suffix: str
    unfinished: tuple[str, ...]
    takes_columns: bool = False

    def names(self, stem: str, rows: int, rows_per_shard: int | None) -> list[tuple[str, ...]]:
        return [(shard + self.suffix,) for shard in shard_stems(stem, rows, rows_per_shard)]

    def is_own(self, file: str, stem: str) -> bool:
        return _is_of(file, stem, (self.suffix,))

    def is_unfinished(self, file: str, stem: str) -> bool:
        return _is_of(file, stem, self.unfinished)


def shard_stems(stem: str, rows: int, rows_per_shard: int | None) -> list[str]:
    """The shards of a split: `train`, or `train-00000-of-00005` and so on where it is sharded.

    A split without rows has one.
    """
    if rows_per_shard is None:
        return [stem]
    count = max(1, -(-rows // rows_per_shard))
    return [f"{stem}-{i:05d}-of-{count:05d}" for i in range(count)]


def _is_of(file: str, stem: str, suffixes: Sequence[str]) -> bool:
    return _names(stem, tuple(suffixes)).fullmatch(file) is not None


@cache
def _names(stem: str, suffixes: tuple[str, ...]) -> re.Pattern[str]:
    endings = "|".join(map(re.escape, suffixes))
    return re.compile(rf"{re.escape(stem)}(-\d{{5,}}-of-\d{{5,}})?({endings})")
