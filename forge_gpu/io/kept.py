"""Rows of tables as they were decoded, kept in a file for the passes that read them again.

A job can do without it: what is not there is decoded once more, as after a kill, or where there was no room.
So the file is never synced, and is removed by the job or the next run. It is the job's own, and not checked.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import name_beside
from forge_gpu.io.growing import GrowingFile

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "decoded"
"""What the file is named by, in the folder of the spool."""


def kept_bytes(folder: Path) -> int:
    """Bytes of the files of this kind in a folder, which need not exist."""
    return sum(path.stat().st_size for path in folder.glob(NAME + ".*"))


class KeptRows:
    """Keeps batches of ranges, for any thread. room: bytes that may still be written; none at first."""

    def __init__(self, folder: Path) -> None:
        self._path = name_beside(folder / NAME)
        self.room = 0
        self._file: GrowingFile | None = None
        self._is_full = False  # the disk, against what was asked before
        self._lock = Lock()
        self._places: dict[Hashable, tuple[pa.Schema, list[tuple[int, int]]]] = {}

    def find(self, key: Hashable) -> Iterator[pa.RecordBatch] | None:
        """The batches of a range, in memory of their own; None where they are not all kept."""
        there = self._places.get(key)
        return None if there is None else self._read(*there)

    def keep(self, key: Hashable, batches: Iterator[pa.RecordBatch], most: int) -> Iterator[pa.RecordBatch]:
        """The same batches; once the last is asked for they can be found, if there was room for all of them.

        most: bytes of them together. Dictionaries are not kept: a batch by itself does not have them.
        """
        places: list[tuple[int, int]] = []
        schema, is_kept = None, self.room > 0
        for batch in batches:
            schema = batch.schema
            is_kept = is_kept and not any(map(_has_dictionary, schema.types))
            if is_kept:
                data = batch.serialize()
                most -= data.size
                at = self._write(data) if most >= 0 else None
                is_kept = at is not None
                if at is not None:
                    places.append((at, data.size))
            yield batch
        if is_kept and schema is not None:
            self._places[key] = schema, places

    def seal(self) -> None:
        """Keep nothing more; and nothing at all where the disk was full: what comes now needs the room."""
        self.room = 0
        if self._is_full:
            self.close()

    def close(self) -> None:
        """Forget all, and remove the file."""
        self._places.clear()
        self.room = 0
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._path.unlink(missing_ok=True)

    def _write(self, data: pa.Buffer) -> int | None:
        """Where bytes are now; None where there is no room for them. Only their place is given in turn."""
        try:
            with self._lock:
                if data.size > self.room:
                    return None
                self.room -= data.size
                self._file = self._file or GrowingFile(self._path, lasts=False)
                at, write = self._file.position(), self._file.place(memoryview(data))
            write()
        except OutputError:
            self._is_full, self.room = True, 0
            return None
        return at

    def _read(self, schema: pa.Schema, places: list[tuple[int, int]]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        assert self._file is not None
        for at, size in places:
            data = pa.allocate_buffer(size)
            self._file.read_into(memoryview(data), at)
            yield pa.ipc.read_record_batch(data, schema)


def _has_dictionary(kind: pa.DataType) -> bool:
    """Whether values of a type, or of what it is made of, are numbers of others."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _has_dictionary(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return True
    return any(_has_dictionary(kind.field(i).type) for i in range(kind.num_fields))
