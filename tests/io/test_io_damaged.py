"""Files that are cut or damaged, in every byte: they stop a job with their place, or the loss is noted."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from forge_gpu.errors import InputError
from forge_gpu.io.chunks import JsonChunk, Source
from forge_gpu.io.streams import Damaged
from forge_gpu.planner.sample import sample
from tests.io.io_support import as_lines, opened, put, rows_of

RECORDS = [{"query": f"question {i}", "response": f"answer {i * 7919 % 1000}"} for i in range(200)]
LINES = as_lines(RECORDS)
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "jsonl.gz": lambda data: gzip.compress(data, mtime=0),
    "jsonl.zst": zstandard.compress,
}


@pytest.mark.parametrize("suffix", list(PACKED))
def test_a_file_cut_at_any_byte(tmp_path: Path, suffix: str) -> None:
    packed = PACKED[suffix](LINES)
    for cut in (*range(20), *range(20, len(packed), 397), len(packed) - 1):
        file = put(tmp_path, f"cut.{suffix}", packed[:cut])
        with pytest.raises(InputError, match=rf"cut\.{suffix}: .*at byte \d+; fetch the file again"):
            opened(file, tmp_path)
        source = opened(file, tmp_path, on_corrupt="keep_prefix")
        assert len(source.losses) == 1 and LINES.startswith(content(source))


def content(source: Source) -> bytes:
    chunks = [chunk for part in source.ranges for chunk in source.read(part, 2**20)]
    return b"".join(chunk.data.tobytes() for chunk in chunks if isinstance(chunk, JsonChunk))


def test_damage_before_the_first_decoded_byte(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(LINES, mtime=0))
    packed[10] = 0x07  # a block of a kind that there is not
    file = put(tmp_path, "damaged.jsonl.gz", bytes(packed))
    with pytest.raises(InputError, match=r"at byte \d+"):
        rows_of(opened(file, tmp_path))
    assert isinstance(sample(file).damage, Damaged)


def test_nothing_compressed_has_no_rows_and_is_no_damage(tmp_path: Path) -> None:
    for suffix, pack in PACKED.items():
        source = opened(put(tmp_path, f"nothing.{suffix}", pack(b"")), tmp_path)
        assert not source.losses and not rows_of(source)


def test_blanks_longer_than_what_is_looked_at_hide_no_rows(tmp_path: Path) -> None:
    source = opened(put(tmp_path, "blank.jsonl", b"\n" * (2**20 + 7) + LINES), tmp_path)
    assert rows_of(source) == RECORDS
