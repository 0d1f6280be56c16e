"""Remote files: faults that pass are tried again, within a bound, and told; others are not."""

from __future__ import annotations

import errno
import gzip
import io
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.errors import InputError
from forge_gpu.io import faults
from forge_gpu.io.inputs import resolve
from forge_gpu.io.remote import RemoteFile, RemotePath
from forge_gpu.io.urls import shown
from tests.io.faulty import FaultyFileSystem, faulty
from tests.io.io_support import RECORDS, as_lines, opened, rows_of

URL = "faulty://bucket/f.jsonl"
LINES = as_lines(RECORDS * 200)


class ServerError(Exception):
    """What an HTTP client raises: a status and no errno."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status} for https://me:hunter2@host/f.jsonl?X-Signature=hunter2")
        self.status = status


PASSING = [
    ConnectionResetError(errno.ECONNRESET, "connection reset"),
    TimeoutError(),
    OSError(errno.EBUSY, "Please reduce your request rate."),
    ServerError(503),
    OSError(errno.EREMOTEIO, "We encountered an internal error."),
]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FaultyFileSystem]]:
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.0)
    with faulty() as system:
        system().pipe_file("/bucket/f.jsonl", LINES)
        yield system


def test_faults_that_pass_are_tried_again_and_told(store: type[FaultyFileSystem], tmp_path: Path) -> None:
    for call in ("info", "open"):
        store.plan[call] = list(PASSING)
    store.plan["read"] = [None, None, *PASSING, None, *PASSING, PASSING[0]]
    reported: list[tuple[str, int, str]] = []
    (file,) = resolve([URL], on_retry=lambda *told_of: reported.append(told_of))
    source = opened(file, tmp_path, on_retry=lambda *told_of: reported.append(told_of))
    assert rows_of(source) == RECORDS * 200
    assert len(reported) == 4 * len(PASSING) + 1 and {what for what, _, _ in reported} == {URL}
    assert max(attempt for _, attempt, _ in reported) == len(PASSING) + 1
    assert not any("hunter2" in fault for _, _, fault in reported)


@pytest.mark.parametrize("call", ["info", "open", "read"])
def test_there_is_a_bound(store: type[FaultyFileSystem], tmp_path: Path, call: str) -> None:
    store.plan[call] = [ServerError(503)] * 100
    with pytest.raises(InputError, match=r"f.jsonl: cannot be read: .* check the network") as refused:
        opened(resolve([URL])[0], tmp_path)
    assert 100 - len(store.plan[call]) == faults.ATTEMPTS
    assert "\n" not in str(refused.value) and "hunter2" not in str(refused.value)


@pytest.mark.parametrize("call", ["info", "open", "read"])
@pytest.mark.parametrize(
    ("fault", "reported"),
    [
        (PermissionError("Forbidden"), "no permission to read it; check the credentials for faulty://"),
        (FileNotFoundError("gone"), "there is no such file"),
        (ServerError(403), "no permission to read it"),
        (ServerError(400), "cannot be read: ServerError: 400 for https://host/f.jsonl$"),
    ],
)
def test_other_faults_are_not(
    store: type[FaultyFileSystem], tmp_path: Path, call: str, fault: Exception, reported: str
) -> None:
    store.plan[call] = [fault]
    heard: list[object] = []
    with pytest.raises(InputError, match=reported):
        opened(resolve([URL])[0], tmp_path, on_retry=lambda *told_of: heard.append(told_of))
    assert not heard


def test_two_contents_are_never_joined(store: type[FaultyFileSystem], tmp_path: Path) -> None:
    (file,) = resolve([URL])
    with file.open() as handle:
        assert handle.read(2000) == LINES[:2000]
        store().pipe_file("/bucket/f.jsonl", LINES + b"{}\n")
        store.plan["read"] = [ConnectionResetError()]
        with pytest.raises(InputError, match="changed while it was read"):
            handle.read(2000)


def test_a_stream_without_places_is_read_up_to_the_break(store: type[FaultyFileSystem]) -> None:
    store.plan["seek"] = [ValueError("Cannot seek streaming HTTP file")]
    store.plan["read"] = [None, None, None, TimeoutError()]
    with RemoteFile(URL) as handle:
        assert handle.readall() == LINES


@settings(deadline=None, max_examples=60)
@given(steps=st.lists(st.tuples(st.sampled_from("rsce"), st.integers(0, 5000)), max_size=12), data=st.data())
def test_reads_as_any_file_does(steps: list[tuple[str, int]], data: st.DataObject) -> None:
    """Whatever is read and sought, with faults between: what a file in memory gives."""
    with faulty() as system, pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "FIRST_WAIT", 0.0)
        system().pipe_file("/bucket/f.jsonl", LINES)
        system.plan["read"] = data.draw(st.lists(st.sampled_from([None, TimeoutError()]), max_size=6))
        mine, other = RemoteFile(URL), io.BytesIO(LINES)
        for step, number in steps:
            match step:
                case "r":
                    assert mine.read(number) == other.read(number)
                case "s":
                    assert mine.seek(number) == other.seek(number)
                case "c":
                    assert mine.seek(number, 1) == other.seek(number, 1)
                case _:
                    assert mine.seek(-number, 2) == other.seek(-number, 2)
            assert mine.tell() == other.tell()


class Stumbling(BaseHTTPRequestHandler):
    """A web server without ranges. Each answer to GET is what comes next in `answers`: a status, or the bytes
    after which the connection breaks off; the whole file when there is none."""

    answers: ClassVar[list[int]] = []

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(LINES)))
        self.end_headers()

    def do_GET(self) -> None:
        answer = self.answers.pop(0) if self.answers else len(LINES)
        if answer < 1000:
            self.send_error(answer)
            return
        self.do_HEAD()
        self.wfile.write(LINES[:answer])

    def log_message(self, *_: object) -> None:
        pass


def test_a_web_server_that_stumbles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Stumbling) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        (file,) = resolve([f"http://127.0.0.1:{server.server_port}/f.jsonl?signature=hunter2"])
        assert file.path == f"http://127.0.0.1:{server.server_port}/f.jsonl"
        reported: list[str] = []
        Stumbling.answers[:] = [503, 429, 20_000, 500, 60_000]
        source = opened(file, tmp_path, on_retry=lambda what, attempt, fault: reported.append(what + fault))
        assert rows_of(source) == RECORDS * 200
        assert len(reported) == 5 and not any("hunter2" in line for line in reported)
        Stumbling.answers[:] = [404, 403]
        with pytest.raises(InputError, match="there is no such file"):
            file.open().read(10)
        with pytest.raises(InputError, match="no permission to read it"):
            file.open().read(10)
        server.shutdown()
        thread.join()


def test_plain_lines_are_read_where_they_lie(store: type[FaultyFileSystem], tmp_path: Path) -> None:
    (file,) = resolve([URL])
    source = opened(file, tmp_path, by_parts=True, range_bytes=5000, memory=0)
    assert len(source.ranges) > 10 and rows_of(source, 700) == RECORDS * 200
    assert not (tmp_path / "spool").exists()
    store.plan["cat_file"] = [ServerError(503)]
    with pytest.raises(InputError, match="503") as fault:
        rows_of(source)
    assert faults.is_passing(fault.value)  # so the job reads the range again
    store().pipe_file("/bucket/f.jsonl", LINES[:-5000])
    with pytest.raises(InputError, match="became shorter"):
        rows_of(source)
    store().pipe_file("/bucket/f.jsonl.gz", gzip.compress(LINES))
    packed = opened(resolve([URL + ".gz"])[0], tmp_path, by_parts=True, memory=0)
    assert rows_of(packed) == RECORDS * 200 and (tmp_path / "spool").exists()


def test_a_folder_gives_what_one_on_this_machine_would(store: type[FaultyFileSystem]) -> None:
    for name in ("a.jsonl.gz", ".hidden/x.jsonl", "_x.jsonl", "README.md", "deep/b.csv",
                 "out/manifest.json", "out/ledger.parquet", "out/train.jsonl"):  # fmt: skip
        store().pipe_file(f"/bucket/data/{name}", gzip.compress(b"") if name.endswith("gz") else b"{}")
    skipped: dict[str, str] = {}
    result = resolve(["faulty://bucket/data"], None, skipped.__setitem__)
    assert [file.path for file in result] == [
        "faulty://bucket/data/a.jsonl.gz",
        "faulty://bucket/data/deep/b.csv",
    ]
    assert skipped["faulty://bucket/data/out"] == "an output folder of Forge"
    assert set(skipped.values()) > {"hidden", "no data file by its name; name it on its own to read it"}
    (only,) = resolve(["faulty://bucket/data/*"])
    assert only.path == "faulty://bucket/data/a.jsonl.gz"
    assert len(resolve(["faulty://bucket/data/**/*.csv"])) == 1


@pytest.mark.parametrize(
    ("url", "reported"),
    [
        ("https://me:pass@host/f.jsonl?signature=abc#x", "https://host/f.jsonl"),
        ("simplecache::s3://me:pass@bucket/f.jsonl", "simplecache::s3://bucket/f.jsonl"),
        ("s3://bucket/a@b#c.jsonl", "s3://bucket/a@b#c.jsonl"),
        ("sftp://user:p%40ss@host:22/d/f", "sftp://host:22/d/f"),
    ],
)
def test_secrets_are_not_shown(url: str, reported: str) -> None:
    assert shown(url) == reported and str(RemotePath(url)) == reported


def test_remote_paths() -> None:
    path = RemotePath("s3://bucket/out/") / "train-00000-of-00002.parquet"
    assert path.url == "s3://bucket/out/train-00000-of-00002.parquet"
    assert (path.name, path.suffix) == ("train-00000-of-00002.parquet", ".parquet")
