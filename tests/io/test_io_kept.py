"""Rows that are decoded once, and kept for the next pass: the same rows, or they are decoded again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.errors import OutputError
from forge_gpu.io import growing
from forge_gpu.io.atomic import remove_temporary
from forge_gpu.io.chunks import ArrowChunk
from forge_gpu.io.inputs import resolve
from forge_gpu.io.kept import KeptRows, kept_bytes
from forge_gpu.io.row_groups import RowGroups
from forge_gpu.io.sources import open_source
from forge_gpu.io.spool import Spool

TABLE = pa.table(
    {
        "text": [None if i % 7 == 0 else f"row {i} é " + "x" * (i % 90) for i in range(300)],
        "more": [{"a": [i, None], "b": i % 2 == 0} for i in range(300)],
        "number": list(range(300)),
    }
)


@pytest.fixture
def kept(tmp_path: Path) -> KeptRows:
    kept = KeptRows(tmp_path / "spool")
    kept.room = 2**20
    return kept


def batches(
    kept: KeptRows, table: pa.Table = TABLE, codec: str = "snappy", times: int = 1
) -> list[pa.RecordBatch]:
    path = kept._path.parent.parent / "in.parquet"
    if not path.exists():
        pq.write_table(table, path, compression=codec, row_group_size=50)
    source = open_source(resolve([str(path)])[0], spool=Spool(path.parent), range_bytes=3000, kept=kept)
    assert len(source.ranges) > 1
    rows = [
        chunk.batch
        for _ in range(times)
        for part in source.ranges
        for chunk in source.read(part, 2**16)
        if isinstance(chunk, ArrowChunk)
    ]
    source.close()
    return rows


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each row group that is decoded."""
    groups: list[int] = []
    before = RowGroups.batches

    def noted(self, rows, columns):
        groups.extend(self.groups)
        return before(self, rows, columns)

    monkeypatch.setattr(RowGroups, "batches", noted)
    return groups


def test_the_second_pass_has_the_same_rows_and_decodes_nothing(kept: KeptRows, decoded: list[int]) -> None:
    rows = batches(kept, times=2)
    assert decoded == list(range(6))
    assert pa.Table.from_batches(rows) == pa.concat_tables([TABLE, TABLE]).combine_chunks()
    assert len(list(kept._path.parent.iterdir())) == 1
    kept.close()
    assert not list(kept._path.parent.iterdir())


@pytest.mark.parametrize("room", [0, 9000])
def test_what_has_no_room_is_decoded_again(kept: KeptRows, decoded: list[int], room: int) -> None:
    kept.room = room
    rows = batches(kept, times=2)
    assert 6 + (room == 0) * 6 <= len(decoded) <= 12
    assert kept_bytes(kept._path.parent) <= room
    assert pa.Table.from_batches(rows) == pa.concat_tables([TABLE, TABLE])


def test_what_grows_too_much_or_is_not_compressed_is_not_kept(kept: KeptRows, decoded: list[int]) -> None:
    repeated = pa.table({"text": ["the same long text" * 30] * 300})
    batches(kept, repeated, times=2)
    assert decoded == [*range(6), *range(6)]
    (kept._path.parent.parent / "in.parquet").unlink()
    batches(kept, codec="none", times=2)
    assert len(decoded) == 24


def test_a_dictionary_is_not_kept(kept: KeptRows, decoded: list[int]) -> None:
    coded = TABLE.set_column(0, "text", TABLE["text"].dictionary_encode())
    assert sum(map(len, batches(kept, coded, times=2))) == 600
    assert decoded == [*range(6), *range(6)]


def test_a_full_disk_is_no_fault(kept: KeptRows, decoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = os.pwrite, [0]

    def full(*arguments):
        calls[0] += 1
        if calls[0] == 3:
            raise OSError(errno.ENOSPC, "no space")
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", full)
    rows = batches(kept, times=2)
    assert pa.Table.from_batches(rows) == pa.concat_tables([TABLE, TABLE])
    assert len(decoded) > 6
    kept.seal()
    assert not list(kept._path.parent.iterdir())  # its room is for what the job cannot do without


def test_what_is_kept_is_for_this_run_alone(
    kept: KeptRows, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "BEGIN_EVERY", 16)
    for hint in ("begin_writeback", "reserve"):
        monkeypatch.setattr(growing, hint, lambda *_: pytest.fail("the disk is not to begin"))
    monkeypatch.setattr(growing, "AT_ONCE", 100)
    rows = batches(kept, times=2)
    assert pa.Table.from_batches(rows) == pa.concat_tables([TABLE, TABLE]).combine_chunks()
    assert len(decoded) == 6
    assert kept._path.stat().st_mode & 0o777 == 0o600


def test_kept_rows_that_are_gone_are_a_fault(kept: KeptRows) -> None:
    batches(kept)
    os.truncate(kept._path, kept._path.stat().st_size - 1)
    with pytest.raises(OutputError, match="is shorter than what was written"):
        batches(kept)


def test_what_a_killed_run_left_is_removed(kept: KeptRows) -> None:
    batches(kept)
    remove_temporary(kept._path.parent)
    assert not list(kept._path.parent.iterdir())
    kept.close()
