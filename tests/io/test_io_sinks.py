"""Outputs: whole or not there, resumable at any position, the same bytes however they were cut."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forge_gpu.errors import OutputError
from forge_gpu.io import disk, growing
from forge_gpu.io.atomic import inside, make_folder, write_atomic
from forge_gpu.io.disk import free_space, require_space, reserve, size_text
from forge_gpu.io.growing import GrowingFile
from forge_gpu.io.sinks.base import Positions, Written
from forge_gpu.io.sinks.jsonl import JsonlFile
from forge_gpu.io.sinks.registry import stale_outputs
from forge_gpu.kernels.layout import Text


def text(*lines: bytes) -> Text:
    offsets = np.cumsum([0, *map(len, lines)]).astype(np.int64)
    return Text(np.frombuffer(b"".join(lines), np.uint8), offsets)


def jsonl(path: Path, positions: Positions) -> JsonlFile:
    return JsonlFile(path, 2, positions)


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "train.jsonl"
    sink = jsonl(path, {})
    sink.append(text(b"one\n"))
    positions = sink.sync()
    assert positions == {"train.jsonl.partial": 4}
    sink.append(text(b"two\n"))
    sink.close()
    assert not path.exists()
    sink = jsonl(path, positions)
    sink.append(text(b"three\n"))
    assert sink.finish() == [Written(path, 2)]
    assert path.read_bytes() == b"one\nthree\n" and [p.name for p in path.parent.iterdir()] == ["train.jsonl"]
    again = jsonl(path, {"train.jsonl.partial": 10})  # killed before the job was finished
    assert not path.exists() and again.finish() and path.read_bytes() == b"one\nthree\n"
    with pytest.raises(OutputError, match="shorter than its checkpoint"):
        jsonl(tmp_path / "train.jsonl", {"train.jsonl.partial": 4})


def test_stale_outputs(tmp_path: Path) -> None:
    stale = [
        "train.jsonl",
        "train-00001-of-00002.jsonl",
        "train.parquet",
        "train.parquet.batches",
        "train-00001-of-00002.jsonl.partial",
    ]
    for name in [*stale, "train-00000-of-00001.jsonl", "training.jsonl", "train.txt", "train-1.jsonl"]:
        (tmp_path / name).touch()
    result = stale_outputs(tmp_path, "train", ["train-00000-of-00001.jsonl"])
    assert sorted(path.name for path in result) == sorted(stale)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import write_atomic
from forge_gpu.io.growing import GrowingFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
file = GrowingFile(folder / "train.jsonl.partial", of=folder / "train.jsonl")
file.write(b"x" * 3000)
file.sync()
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
for act in (
    lambda: file.write(b"y" * 3000),
    lambda: write_atomic(folder / "m.json", b"z" * 9000),
):
    try:
        act()
    except OutputError as fault:
        print(fault)
"""


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith(f"{tmp_path}: no space left to write train.jsonl, 1000 bytes more are needed")
    assert all("no space left" in line and "run the same command again" in line for line in lines)
    assert not (tmp_path / "m.json").exists() and not (tmp_path / "m.json.partial").exists()
    sink = jsonl(tmp_path / "train.jsonl", {"train.jsonl.partial": 3000})  # what was synced is a checkpoint
    sink.append(text(b"\n"))
    sink.finish()
    assert (tmp_path / "train.jsonl").read_bytes() == b"x" * 3000 + b"\n"


def test_room_that_was_kept_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "BEGIN_EVERY", 1 << 16)
    monkeypatch.setattr(growing, "RESERVE_SHARE", 1)
    path = tmp_path / "train.jsonl"
    for end in (JsonlFile.close, JsonlFile.finish):
        sink = jsonl(path, {})
        for _ in range(17):
            sink.append(text(b"x" * (1 << 16)))
        partial = tmp_path / "train.jsonl.partial"
        assert partial.stat().st_size == 17 << 16
        sink.sync()
        held = partial.stat().st_blocks * 512
        end(sink)
        written = path if end is JsonlFile.finish else partial
        assert written.read_bytes() == b"x" * (17 << 16)
        if held > 25 << 16:  # not every file system keeps room
            assert written.stat().st_blocks * 512 <= 18 << 16  # and what the file system itself needs


def test_no_room_to_keep_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "BEGIN_EVERY", 16)
    monkeypatch.setattr(
        growing, "reserve", lambda descriptor, offset, size: reserve(descriptor, offset, 1 << 60)
    )
    file = GrowingFile(tmp_path / "lines")
    for _ in range(8):
        file.write(b"seven..\n")
    file.close()
    assert (tmp_path / "lines").read_bytes() == b"seven..\n" * 8


def test_no_room_is_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines"
    with path.open("wb") as file:
        for is_memory in (True, False):
            monkeypatch.setattr(disk, "_was_memory", {path.stat().st_dev: is_memory}.__getitem__)
            reserve(file.fileno(), 0, 1 << 20)
            assert not (is_memory and path.stat().st_blocks)


def test_write_atomic(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_atomic(path, "é")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OutputError, match="cannot be written"):
        write_atomic(tmp_path / "gone" / "manifest.json", "x")


def test_names_stay_in_their_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "out")
    (folder / "link").symlink_to(tmp_path)
    assert inside(folder, "sub/train.jsonl") == folder / "sub" / "train.jsonl"
    for name in ("../x", "/etc/passwd", "link/x", "", ".", "a/../../x", "a\0b"):
        with pytest.raises(OutputError):
            inside(folder, name)
    (folder / "train.jsonl.partial").symlink_to(tmp_path / "victim")
    jsonl(folder / "train.jsonl", {}).close()
    assert not (folder / "train.jsonl.partial").is_symlink() and not (tmp_path / "victim").exists()


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="is a file, not a folder"):
        make_folder(tmp_path / "out")
    with pytest.raises(OutputError):
        make_folder(tmp_path / "out" / "sub")


def test_space(tmp_path: Path) -> None:
    assert free_space(tmp_path / "not" / "yet") > 0
    require_space(tmp_path, 1, "this")
    with pytest.raises(OutputError, match=r"this needs 8388608\.0 TiB, .* are free"):
        require_space(tmp_path, 2**63, "this")
    assert [size_text(n) for n in (0, 1023, 1024, 1536 * 2**20)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "1.5 GiB",
    ]


def test_what_has_its_place_is_written_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "BEGIN_EVERY", 16)
    file = GrowingFile(tmp_path / "lines")
    lines = [b"%d" % number * (number % 5) + b"\n" for number in range(100)]
    writes = [file.place(line) for line in lines]
    assert file.position() == sum(map(len, lines))
    for write in reversed(writes):
        write()
    file.close()
    assert (tmp_path / "lines").read_bytes() == b"".join(lines)


def test_what_was_written_is_read_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "AT_ONCE", 3)
    file = GrowingFile(tmp_path / "lines")
    file.write(b"0123456789")
    file.overwrite(2, b"abcdef")
    assert file.content(1, 8) == b"1abcdef8"
    later = file.place(b"later")
    with pytest.raises(OutputError, match="lines: is shorter than what was written"):
        file.content(8, 5)
    later()
    assert file.content(8, 5) == b"89lat"
    file.close()
