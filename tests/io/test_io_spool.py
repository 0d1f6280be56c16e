"""Compressed, encoded, streamed and remote inputs: decoded once, the same rows; damage has an offset."""

from __future__ import annotations

import gzip
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
import zstandard

from forge_gpu.errors import InputError, OutputError
from forge_gpu.io import inputs
from forge_gpu.io.chunks import JsonChunk
from forge_gpu.io.loss import Loss
from forge_gpu.io.sources import open_source
from forge_gpu.io.spool import Spool, SpoolFile
from tests.io.io_support import RECORDS, as_lines, opened, put, rows_of

LINES = as_lines(RECORDS * 40)


def in_pieces(data: bytes, pieces: int, compress: Any) -> bytes:
    step = len(data) // pieces + 1
    return b"".join(compress(data[i : i + step]) for i in range(0, len(data), step))


@pytest.mark.parametrize("memory", [0, 2**20])
@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(LINES),
        in_pieces(LINES, 5, gzip.compress),
        gzip.compress(LINES) + bytes(512),
        zstandard.compress(LINES),
        in_pieces(LINES, 5, zstandard.compress),
        gzip.compress(b"\xef\xbb\xbf" + LINES),
        LINES.decode().encode("utf-16"),
        gzip.compress(LINES.decode().encode("utf-16")),
        LINES.decode().encode("utf-32"),
    ],
)
def test_decoded_once(tmp_path: Path, packed: bytes, memory: int) -> None:
    file = put(tmp_path, "f.jsonl", packed)
    source = opened(file, tmp_path, memory=memory, range_bytes=1000)
    assert rows_of(source, 100) == RECORDS * 40
    assert len(source.ranges) > 5
    on_disk = [path.name for path in (tmp_path / "spool").glob("*")] if memory == 0 else []
    assert len(on_disk) == (2 if memory == 0 else 0)
    again = opened(file, tmp_path, memory=memory, range_bytes=1000)
    assert rows_of(again) == RECORDS * 40 and again.ranges == source.ranges


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("cp1252", '{"q": "naïve – €5"}'), ("shift_jis", '{"q": "日本語"}'), ("gb18030", '{"q": "汉字𝄞"}')],
)
def test_named_encodings(tmp_path: Path, encoding: str, text: str) -> None:
    source = opened(put(tmp_path, "f", (text + "\n").encode(encoding) * 3), tmp_path, encoding=encoding)
    assert [row["q"] for row in rows_of(source)] == [text[7:-2]] * 3


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("cp1252", b'{"q":"a"}\n{"q":"\x81"}\n{"q":"b"}\n'),
        ("utf-16-le", '{"q":"a"}\n{"q":"\ud800"}\n{"q":"b"}\n'.encode("utf-16-le", "surrogatepass")),
        ("utf-16-le", '{"q":"a"}\n{"q":"b"}\n'.encode("utf-16-le") + b"\x7b"),
    ],
)
def test_bytes_the_encoding_lacks_reject_their_row_only(tmp_path: Path, encoding: str, data: bytes) -> None:
    source = opened(put(tmp_path, "f", data), tmp_path, encoding=encoding)
    (chunk,) = source.read(source.ranges[0], 2**20)
    lines = chunk.data.tobytes().split(b"\n")  # type: ignore[union-attr]
    bad = 0
    for line in filter(None, lines):
        try:
            line.decode()
        except UnicodeDecodeError:
            bad += 1
    assert bad == 1 and sum(line in (b'{"q":"a"}', b'{"q":"b"}') for line in lines) == 2


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("fault", ["cut", "flipped", "cut early"])
def test_a_damaged_container(tmp_path: Path, compress: Any, fault: str) -> None:
    noise = as_lines([{"n": os.urandom(60).hex()} for _ in range(20_000)])
    packed = bytearray(compress(noise))
    if fault == "cut":
        packed = packed[:-9]
    elif fault == "cut early":
        packed = packed[: len(packed) // 2]
    else:
        middle = len(packed) // 2
        packed[middle : middle + 8] = bytes(byte ^ 0xFF for byte in packed[middle : middle + 8])
    file = put(tmp_path, "f.jsonl.gz", bytes(packed))
    with pytest.raises(InputError, match=r"f\.jsonl\.gz: the (gzip|zstd) data is .* at byte \d+"):
        opened(file, tmp_path)
    retained: list[bytes] = []
    for memory in (0, 2**30):
        source = opened(file, tmp_path, memory=memory, on_corrupt="keep_prefix")
        chunks = (chunk for part in source.ranges for chunk in source.read(part, 2**16))
        retained.append(b"".join(chunk.data.tobytes() for chunk in chunks if isinstance(chunk, JsonChunk)))
        (loss,) = source.losses
        assert loss.offset is not None and 0 < loss.offset <= len(packed)
    assert retained[0] == retained[1]
    whole = retained[0][: retained[0].rfind(b"\n")]
    good = noise.startswith(whole)
    assert good or fault == "flipped"  # what a flipped byte decodes to is found wrong only later
    assert len(whole) > len(noise) // 4


def test_gzip_followed_by_something_else(tmp_path: Path) -> None:
    packed = gzip.compress(LINES)
    file = put(tmp_path, "f.gz", packed + b"garbage")
    with pytest.raises(InputError, match=f"not gzip at byte {len(packed)}"):
        opened(file, tmp_path)
    assert rows_of(opened(file, tmp_path, on_corrupt="keep_prefix")) == RECORDS * 40


def test_losses_are_known_again_from_a_spooled_file(tmp_path: Path) -> None:
    file = put(tmp_path, "f.gz", gzip.compress(LINES)[:-4])
    first = opened(file, tmp_path, memory=0, on_corrupt="keep_prefix")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "spool").iterdir()}
    second = opened(file, tmp_path, memory=0, on_corrupt="keep_prefix")
    assert first.losses == second.losses and len(first.losses) == 1
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "spool").iterdir()}


def test_a_changed_file_is_decoded_anew(tmp_path: Path) -> None:
    spooled = opened(put(tmp_path, "f.gz", gzip.compress(LINES)), tmp_path, memory=0)
    assert len(rows_of(spooled)) == 200
    changed = opened(put(tmp_path, "f.gz", gzip.compress(LINES * 2)), tmp_path, memory=0)
    assert len(rows_of(changed)) == 400


def test_a_pipe_is_captured(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["sh", "-c", f"cat > {pipe}"], stdin=subprocess.PIPE)
    assert writer.stdin is not None
    writer.stdin.write(gzip.compress(LINES))
    writer.stdin.close()
    file = inputs.resolve([str(pipe)])[0]
    assert file.is_stream
    source = opened(file, tmp_path)
    writer.wait()
    assert source.file.path == str(pipe) and source.file.fingerprint
    assert rows_of(source) == RECORDS * 40


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prints = []
    for data in (LINES, LINES, LINES + LINES):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        (file,) = inputs.resolve(["-"])
        source = opened(file, tmp_path)
        assert len(rows_of(source)) * len(LINES) == 200 * len(data)
        prints.append(source.file.fingerprint)
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("packed", [LINES, gzip.compress(LINES), b"query,response\na,b\n"])
def test_remote_files(tmp_path: Path, packed: bytes) -> None:
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/f.jsonl", packed)
    (file,) = inputs.resolve(["memory://bucket/f.jsonl"])
    assert file.is_remote and file.size == len(packed)
    rows = rows_of(opened(file, tmp_path))
    assert rows == (RECORDS * 40 if b"query," not in packed else [{"query": "a", "response": "b"}])
    system.rm("/bucket", recursive=True)


def test_no_room_is_known_before_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(tmp_path, "f.gz", gzip.compress(LINES))
    monkeypatch.setattr("forge_gpu.io.disk.free_space", lambda path: 100)
    with pytest.raises(OutputError, match=r"needs .* 100 bytes are free"):
        opened(file, tmp_path, memory=0)
    assert not (tmp_path / "spool").exists()


def test_the_disk_bound_of_a_spool(tmp_path: Path) -> None:
    file = put(tmp_path, "f.gz", gzip.compress(LINES * 10))
    spool = Spool(tmp_path / "spool", 0, disk_limit=1000)
    with pytest.raises(OutputError, match=r"more than the 1000 bytes"):
        open_source(file, spool=spool)
    assert spool.disk_left == 1000 and list((tmp_path / "spool").iterdir()) == []


def test_the_memory_of_a_spool_is_that_of_all_files_together(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 100)
    one, two = (SpoolFile(spool, spool.folder / name) for name in "ab")
    one.write(b"1" * 60)
    two.write(b"2" * 60)  # beside the other there is no room for it
    assert spool.memory_left == 40 and [path.name for path in spool.folder.iterdir()] == ["b.partial"]
    one.write(b"1" * 41)
    assert spool.memory_left == 100 and len(list(spool.folder.iterdir())) == 2
    three = SpoolFile(spool, spool.folder / "c")
    three.write(b"3" * 100)
    assert three.finish(()).content == b"3" * 100 and spool.memory_left == 0
    for dropped in (one, two, two):
        dropped.drop()
    assert spool.memory_left == 0 and list(spool.folder.iterdir()) == []


def test_the_disk_bound_is_that_of_all_files_together(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 0, disk_limit=100)
    one, two = (SpoolFile(spool, spool.folder / name) for name in "ab")
    one.write(b"1" * 60)
    with pytest.raises(OutputError, match="more than the 100 bytes"):
        two.write(b"2" * 41)
    two.drop()
    one.write(b"1" * 40)
    one.drop()
    assert spool.disk_left == 100


def test_what_is_dropped_from_memory_is_given_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 100)

    def write(spooled: SpoolFile, losses: list[Loss]) -> None:
        spooled.write(b"1" * 60)
        raise InputError("damaged")

    with pytest.raises(InputError):
        spool.keep(put(tmp_path, "f", b"1"), (), write)
    assert spool.memory_left == 100 and not spool.folder.exists()


class Waiting(threading.Condition):
    """A condition that says when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waited_for = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.is_waited_for.set()
        return super().wait(timeout)


def two_at_once(spool: Spool, first: Callable[[], Any], second: Callable[[], Any]) -> list[Any]:
    """What two threads give, of which the second begins while the first is in the middle of `paused`."""
    spool._changed = changed = Waiting()
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        assert IN_THE_MIDDLE.wait(30)
        two = pool.submit(second)
        is_held_up = changed.is_waited_for.wait(30)
        GO_ON.set()
        assert is_held_up
        return [one.result(), two]


IN_THE_MIDDLE, GO_ON = threading.Event(), threading.Event()


def paused(spooled: SpoolFile, losses: list[Loss]) -> None:
    spooled.write(b"1" * 10)
    IN_THE_MIDDLE.set()
    assert GO_ON.wait(30)


@pytest.fixture
def anew() -> None:
    IN_THE_MIDDLE.clear()
    GO_ON.clear()


@pytest.mark.usefixtures("anew")
def test_a_file_is_not_written_twice_at_once(tmp_path: Path) -> None:
    spool, file = Spool(tmp_path / "spool"), put(tmp_path, "f", b"1")
    written: list[SpoolFile] = []
    one, two = two_at_once(
        spool,
        lambda: spool.keep(file, (), paused),
        lambda: spool.keep(file, (), lambda spooled, losses: written.append(spooled)),
    )
    assert not written and one == two.result() and one.content.read_bytes() == b"1" * 10


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("free", [65, 69, 75])
def test_room_is_judged_once_it_is_known_what_others_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    spool = Spool(tmp_path / "spool")
    one, two = (put(tmp_path, name, b"1" * 60) for name in "ab")

    def quickly(spooled: SpoolFile, losses: list[Loss]) -> None:
        spooled.write(b"2")

    def left(path: Path) -> int:
        return free - sum(each.stat().st_size for each in path.glob("*") if each.suffix != ".json")

    for where in ("forge_gpu.io.disk.free_space", "forge_gpu.io.spool.free_space"):
        monkeypatch.setattr(where, left)
    _, second = two_at_once(
        spool,
        lambda: spool.keep(one, (), paused),
        lambda: spool.keep(two, (), quickly),
    )
    if free - 10 >= 60:
        assert second.result().content.read_bytes() == b"2"
    else:
        with pytest.raises(OutputError, match=f"decoding .*b needs 60 bytes, {free - 10} bytes are free"):
            second.result()


def test_clear(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    open_source(put(tmp_path, "f.gz", gzip.compress(LINES)), spool=spool)
    spool.clear()
    assert not (tmp_path / "spool").exists()
    spool.clear()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from forge_gpu.errors import OutputError
from forge_gpu.io.inputs import resolve
from forge_gpu.io.sources import open_source
from forge_gpu.io.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    open_source(resolve([sys.argv[1]])[0], spool=Spool(Path(sys.argv[2])))
except OutputError as fault:
    print(fault)
"""


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    file = put(tmp_path, "f.gz", gzip.compress(LINES * 10))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, file.url, str(tmp_path / "spool")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "no space left" in done.stdout and str(tmp_path / "spool") in done.stdout
    assert list((tmp_path / "spool").iterdir()) == []
    assert rows_of(opened(file, tmp_path, memory=0)) == RECORDS * 400


SLOW_SPOOL = """
import sys, time
from pathlib import Path
from forge_gpu.io import streams
from forge_gpu.io.inputs import resolve
from forge_gpu.io.sources import open_source
from forge_gpu.io.spool import Spool, SpoolFile
write = SpoolFile.write
def slowly(self, data):
    for i in range(0, len(data), 1000):
        write(self, data[i:i + 1000])
        print(".", flush=True)
        time.sleep(0.01)
    return len(data)
SpoolFile.write = slowly
open_source(resolve([sys.argv[1]])[0], spool=Spool(Path(sys.argv[2])))
"""


def test_killed_while_spooling(tmp_path: Path) -> None:
    file = put(tmp_path, "f.gz", gzip.compress(LINES * 100))
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_SPOOL, file.url, str(tmp_path / "spool")], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(20):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    left = [path.name for path in (tmp_path / "spool").iterdir()]
    assert len(left) == 1 and left[0].endswith(".partial")
    assert rows_of(opened(file, tmp_path, memory=0)) == RECORDS * 4000
    assert sorted(path.suffix for path in (tmp_path / "spool").iterdir()) == ["", ".json"]
