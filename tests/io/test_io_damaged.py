"""Files that are cut or damaged, in every byte: they stop a job with their place, or the loss is noted."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zstandard

from forge_gpu.errors import InputError
from forge_gpu.io import streams
from forge_gpu.io.chunks import JsonChunk, Source
from forge_gpu.io.streams import Damaged, decoded_blocks
from forge_gpu.planner.sample import sample
from tests.io.io_support import as_lines, opened, put, rows_of

RECORDS = [{"query": f"question {i}", "response": f"answer {i * 7919 % 1000}"} for i in range(200)]
LINES = as_lines(RECORDS)
ADVICE = "fetch the file again, or keep what comes before with data.on_corrupt: keep_prefix"
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


class StrictError(Exception):
    """What a library that decompresses in zlib's place raises."""


def strict(most: int) -> SimpleNamespace:
    """Such a library, which decodes no member beyond its first pieces: it has no `copy`, as isal has none."""

    class Strict:
        def __init__(self, wbits: int) -> None:
            self._inner, self._left = zlib.decompressobj(wbits=wbits), most

        def decompress(self, data: bytes, size: int) -> bytes:
            self._left -= 1
            if self._left < 0:
                raise StrictError
            return self._inner.decompress(data, size)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    return SimpleNamespace(decompressobj=Strict, IsalError=StrictError)


def told(packed: bytes, folder: Path) -> tuple[bytes, str]:
    """What a file of gzip gives before it is damaged, and what is said of the damage."""
    given: list[bytes] = []
    try:
        for block in decoded_blocks(put(folder, "rows.jsonl.gz", packed), "gzip", None, False, []):
            given.append(block)
    except InputError as fault:
        return b"".join(given), str(fault)
    return b"".join(given), ""


@pytest.mark.parametrize("pieces", [0, 1, 3, 10**6])
def test_what_another_library_cannot_decode_zlib_does(
    pieces: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = random.Random(0).randbytes(10**5) * 150  # several pieces
    packed = gzip.compress(text, 1) + b"\0" * 9 + gzip.compress(b"more")
    monkeypatch.setattr(streams, "_isal", lambda: strict(pieces))
    assert told(packed, tmp_path) == (text + b"more", "")
    cut = told(packed[:20], tmp_path)
    assert cut[1].endswith("the gzip data is cut short at byte 20; " + ADVICE) and text.startswith(cut[0])


def test_damage_is_told_alike_with_isal_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("isal")
    members = [gzip.compress(LINES, mtime=0), b"\0" * 5, gzip.compress(LINES * 400, 9, mtime=0)]
    whole = b"".join(members)
    chance = random.Random(1)
    for case in range(60):
        packed = bytearray(whole)
        if case % 3:
            packed[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
        else:
            del packed[chance.randrange(len(packed)) :]
        fast = told(bytes(packed), tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(streams, "_isal", lambda: None)
            plain = told(bytes(packed), tmp_path)
        assert fast[1] == plain[1]
        assert fast[1] or fast[0] == plain[0]
    assert told(whole, tmp_path) == (LINES * 401, "")


def test_nothing_compressed_has_no_rows_and_is_no_damage(tmp_path: Path) -> None:
    for suffix, pack in PACKED.items():
        source = opened(put(tmp_path, f"nothing.{suffix}", pack(b"")), tmp_path)
        assert not source.losses and not rows_of(source)


def test_blanks_longer_than_what_is_looked_at_hide_no_rows(tmp_path: Path) -> None:
    source = opened(put(tmp_path, "blank.jsonl", b"\n" * (2**20 + 7) + LINES), tmp_path)
    assert rows_of(source) == RECORDS
