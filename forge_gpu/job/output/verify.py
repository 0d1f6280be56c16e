"""The output, read back from the disk: that it is what the manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import ValidationError
from forge_gpu.job.events.events import ChunkDone, Listener
from forge_gpu.job.events.memory import peak_memory
from forge_gpu.job.output.read_back import NO_BOUND, blocks_of_lines, check_lines
from forge_gpu.job.output.result import OutputFile
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Spans

Bools = npt.NDArray[np.bool_]

STAGE = "verify"
NEWLINE = 10


def verify(
    spec: JobSpec,
    files: Sequence[OutputFile],
    columns: dict[str, str],
    fields: Sequence[str],
    threads: int,
    listener: Listener,
    check_stop: Callable[[], None],
) -> tuple[list[OutputFile], dict[str, Any]]:
    """Read every file; returns them with their SHA-256, and what the manifest says of the check.

    Checks that each line has its end and is a JSON object, that each field is there, a string (or the JSON
    value its type asks for) and not empty where the form is `text`, and that rows and splits have the sizes
    that were decided. With more than one of `threads`, so many files are read at once, each hashed while its
    lines are looked at. Raises ValidationError, and what `check_stop` raises.
    """
    reader = _Reader(tuple(fields), columns, spec.config.output.form == "text", listener, check_stop)

    def check(file: OutputFile) -> OutputFile:
        path = spec.output / file.file
        rows, digest = reader.read(path, file.split != "rejected", hash_beside=threads > 1)
        if rows != file.rows:
            raise ValidationError(f"{path}: holds {rows} rows, {file.rows} were decided")
        return replace(file, sha256=digest)

    if threads > 1:
        with ThreadPoolExecutor(threads, "forge-verify") as pool:
            checked = list(pool.map(check, files))
    else:
        checked = [check(file) for file in files]
    return checked, {
        "files": len(checked),
        "rows": sum(file.rows for file in checked),
        "fields": list(fields),
    }


class _Reader:
    """Reads output files back, several at once."""

    def __init__(
        self,
        fields: tuple[str, ...],
        columns: dict[str, str],
        not_empty: bool,
        listener: Listener,
        check_stop: Callable[[], None],
    ) -> None:
        self._fields = fields
        self._columns = columns
        self._not_empty = not_empty
        self._listener = listener
        self._check_stop = check_stop
        self._telling = Lock()

    def read(self, path: Path, has_fields: bool, hash_beside: bool) -> tuple[int, str]:
        """The rows of a file, whose fields are checked, and its SHA-256."""
        fields = self._fields if has_fields else ()
        if path.suffix == ".parquet":
            return self._read_table(path, fields)
        if not hash_beside:
            return self._read_lines(path, fields, None)
        with ThreadPoolExecutor(1, "forge-hash") as beside:
            return self._read_lines(path, fields, beside)

    def _read_lines(self, path: Path, fields: tuple[str, ...], beside: Executor | None) -> tuple[int, str]:
        engine = CpuEngine()
        digest = hashlib.sha256()
        rows = 0
        for block in blocks_of_lines(path):
            self._check_stop()
            with _meanwhile(beside, partial(digest.update, block.data)):
                records = engine.scan(block, "lines", fields, NO_BOUND)
                check_lines(path, records)
                for field in fields:
                    good = self._is_good(field, records.columns[field])
                    if not good.all():
                        row = rows + int(np.flatnonzero(~good)[0])
                        raise ValidationError(f"{path}: line {row + 1} has no {field}")
            if block[-1] != NEWLINE:  # as only the last block's can be
                raise ValidationError(f"{path}: its last line has no end")
            rows += len(records)
            self._tell(len(records), len(block))
        return rows, digest.hexdigest()

    def _is_good(self, field: str, column: Spans) -> Bools:
        good: Bools
        if self._columns[field] == "json":
            good = column.kind == layout.JSON
        else:
            good = np.isin(column.kind, layout.BODIES)
            if self._not_empty:
                good &= column.length > 0
        return good

    def _read_table(self, path: Path, fields: tuple[str, ...]) -> tuple[int, str]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        rows = 0
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(8192, columns=list(fields)):
                self._check_stop()
                for field in fields:
                    if batch[field].null_count:
                        raise ValidationError(f"{path}: rows from {rows} on have no {field}")
                rows += len(batch)
            rows = table.metadata.num_rows if not fields else rows
        self._tell(rows, path.stat().st_size)
        return rows, digest

    def _tell(self, rows: int, size: int) -> None:
        with self._telling:
            self._listener(ChunkDone(STAGE, rows, size, 0.0, peak_memory()))


@contextmanager
def _meanwhile(beside: Executor | None, work: Callable[[], None]) -> Iterator[None]:
    """Work that is done beside what is done inside, and before it without an executor."""
    if beside is None:
        work()
        yield
        return
    waiting = beside.submit(work)
    yield
    waiting.result()
