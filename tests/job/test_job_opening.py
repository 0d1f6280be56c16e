"""Inputs are opened several at once: the same sources, warnings and faults as one after the other."""

from __future__ import annotations

import gzip
import io
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zstandard

from forge_gpu.errors import InputError, Interrupted
from forge_gpu.hardware.budget import Budget
from forge_gpu.io.chunks import JsonChunk, Source
from forge_gpu.io.inputs import InputFile, resolve
from forge_gpu.io.sources import open_source
from forge_gpu.io.spool import Spool, SpoolFile
from forge_gpu.job.events.events import Event, Progressed, Warned
from forge_gpu.job.run import opening
from forge_gpu.job.run.opening import open_inputs, threads_to_open
from forge_gpu.job.state.spec import JobSpec
from tests.io.io_support import arrow_rows, as_lines
from tests.job import jobs

PATIENCE = 30.0


def table(rows: int) -> bytes:
    return b"instruction,output\n" + b"".join(b"ask %d,answer %d\n" % (n, n) for n in range(rows))


def archive(rows: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for n in range(rows):
            about = tarfile.TarInfo(f"{n:04}.json")
            content = as_lines(jobs.rows(1, n))
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def inputs(tmp_path: Path) -> list[InputFile]:
    """Seven that are spooled, of which one is damaged and one is empty, and one that is not."""
    lines = [as_lines(jobs.rows(count, count)) for count in (4000, 30, 900, 300, 20)]
    contents = {
        "a.jsonl.gz": gzip.compress(lines[0]),
        "b.jsonl.zst": zstandard.compress(lines[1]),
        "c.csv": table(500),
        "d.jsonl": lines[4],
        "e.jsonl.gz": gzip.compress(lines[2])[:-2000],
        "f.tar": archive(40),
        "g.jsonl.gz": gzip.compress(b""),
        "h.csv.gz": gzip.compress(table(20_000)),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return resolve(sorted(contents), tmp_path)


def opened(
    files: list[InputFile],
    folder: Path,
    threads: int,
    memory: int = 0,
    listener: Callable[[Event], None] = lambda event: None,
    on_corrupt: str = "stop",
    **options: Any,
) -> list[tuple[str, list[Any]]]:
    """What each input holds: lines, or rows."""
    config = jobs.plan(folder, data={"on_corrupt": on_corrupt})
    spec = JobSpec(config, folder, folder / "out", range_bytes=8192)
    made = open_inputs(spec, files, Spool(folder / "spool", memory), True, listener, threads, **options)
    held = [(source.file.path, content(source)) for source in made.sources]
    made.close()
    return held


def content(source: Source) -> list[Any]:
    held: list[Any] = []
    for part in source.ranges:
        for chunk in source.read(part, 2**16):
            if isinstance(chunk, JsonChunk):
                held += chunk.data.tobytes().splitlines()
            else:
                held += arrow_rows(chunk)
    return held


def without_workers() -> bool:
    return not any(thread.name.startswith("forge-open") for thread in threading.enumerate())


@pytest.mark.parametrize("memory", [0, 300_000, 2**24])
def test_any_number_of_threads_gives_the_same(inputs: list[InputFile], tmp_path: Path, memory: int) -> None:
    seen = []
    for threads in (1, 2, 5):
        events: list[Event] = []
        folder = tmp_path / str(threads)
        rows = opened(inputs, folder, threads, memory, events.append, "keep_prefix")
        assert [path for path, _ in rows] == [file.path for file in inputs]
        assert not list(folder.glob("spool/*.partial")) and without_workers()
        if not memory:
            assert len(list(folder.glob("spool/*"))) == 2 * 6  # d.jsonl lies there, and of g there is nothing
        seen.append((rows, [event for event in events if isinstance(event, Warned)]))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0][1]) == 1 and all(rows for path, rows in seen[0][0] if path != "g.jsonl.gz")


def test_a_job_is_the_same_with_any_number_of_threads(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jsonl.gz").write_bytes(gzip.compress(as_lines(jobs.rows(80, number))))
    files = [tmp_path / f"{number}.jsonl.gz" for number in range(4)]
    outputs = []
    for threads in (1, 5):
        jobs.run(jobs.plan(*files), tmp_path / f"out-{threads}", threads, memory=2**27)
        outputs.append(jobs.content(tmp_path / f"out-{threads}"))
    assert outputs[0] == outputs[1]


def test_as_many_at_once_as_there_are_threads_and_memory_for() -> None:
    assert threads_to_open(Budget(2**27, 64, 2**20, "")) == 4
    assert threads_to_open(Budget(2**24, 64, 2**20, "")) == 1
    assert threads_to_open(Budget(2**34, 9, 2**20, "")) == 9


class Watched:
    """Takes the place of `open_source`. before, after: what the thread that opens an input calls, by its
    name. at_work, most: how many are being opened, now and at most."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.before: dict[str, Callable[[], object]] = {}
        self.after: dict[str, Callable[[], object]] = {}
        self.at_work = self.most = 0
        self._lock = threading.Lock()
        patch.setattr(opening, "open_source", self)

    def __call__(self, file: InputFile, *arguments: Any, **options: Any) -> Source:
        with self._lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        self.before.get(file.path, bool)()
        try:
            return open_source(file, *arguments, **options)
        finally:
            self.after.get(file.path, bool)()
            with self._lock:
                self.at_work -= 1


def test_the_fault_of_the_first_file_is_raised_whichever_fails_first(
    inputs: list[InputFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (tmp_path / "h.csv.gz").read_bytes()
    (tmp_path / "h.csv.gz").write_bytes(whole[:-100])
    files = resolve([file.path for file in inputs], tmp_path)
    with pytest.raises(InputError) as one:
        opened(files, tmp_path / "1", 1)
    failed = threading.Event()
    watched = Watched(monkeypatch)
    watched.before["e.jsonl.gz"] = lambda: failed.wait(PATIENCE)
    watched.after["h.csv.gz"] = failed.set
    with pytest.raises(InputError) as several:
        opened(files, tmp_path / "7", 7)
    assert failed.is_set() and "e.jsonl.gz" in str(one.value) and str(one.value) == str(several.value)
    assert not list(tmp_path.glob("7/spool/*.partial")) and without_workers()
    rows = opened(files, tmp_path / "7", 3, on_corrupt="keep_prefix")
    assert rows == opened(files, tmp_path / "1", 1, on_corrupt="keep_prefix")


def test_a_plain_file_that_fails_is_told_in_its_turn(inputs: list[InputFile], tmp_path: Path) -> None:
    (tmp_path / "0.jsonl").write_bytes(b"\x80\x04 no data")
    (tmp_path / "d.jsonl").unlink()
    for names in (["e.jsonl.gz", "d.jsonl"], ["d.jsonl", "e.jsonl.gz"], ["0.jsonl", "d.jsonl", "a.jsonl.gz"]):
        given = {file.path: file for file in [*inputs, *resolve(["0.jsonl"], tmp_path)]}
        for threads in (1, 3):
            with pytest.raises(InputError, match=rf"^{names[0]}: "):
                opened([given[name] for name in names], tmp_path / "out", threads)


def test_a_file_that_is_given_twice_is_spooled_once(
    inputs: list[InputFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=PATIENCE)
    Watched(monkeypatch).before["a.jsonl.gz"] = both.wait
    first, second = opened([inputs[0], inputs[0]], tmp_path, 2)
    assert first == second and len(list(tmp_path.glob("spool/*"))) == 2


def test_while_memory_is_short_one_is_opened_alone(
    inputs: list[InputFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    rows = opened(inputs, tmp_path, 5, is_memory_short=lambda: True, on_corrupt="keep_prefix")
    assert watched.most <= 2 and len(rows) == len(inputs)  # d.jsonl is opened beside one: that is but a look


def test_plain_files_need_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jsonl").write_bytes(as_lines(jobs.rows(5, number)))
    monkeypatch.setattr(ThreadPoolExecutor, "submit", None)
    rows = opened(resolve([str(tmp_path)]), tmp_path / "out", 5)
    assert [len(rows) for _, rows in rows] == [5] * 5


@pytest.mark.parametrize("second", ["b.jsonl.gz", "b.csv"])
def test_a_stop_leaves_what_is_whole_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    content = table(50_000) if second == "b.csv" else gzip.compress(as_lines(jobs.rows(9000)))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(as_lines(jobs.rows(50))))
    (tmp_path / second).write_bytes(content)
    files = resolve(["a.jsonl.gz", second], tmp_path)
    is_whole, is_begun, is_stopped = threading.Event(), threading.Event(), threading.Event()
    write = SpoolFile.write

    def slowly(self: SpoolFile, data: Any) -> int:
        """The second file is in the middle until the stop has reached it."""
        count = write(self, data)
        if threading.current_thread() in second_by and self.tell() > 1000:
            is_whole.wait(PATIENCE)
            is_begun.set()
            is_stopped.wait(PATIENCE)
            for _ in range(10**7):
                self._check_stop()
        return count

    def check_stop() -> None:
        if is_begun.is_set():
            is_stopped.set()
            raise Interrupted(2)

    second_by: set[threading.Thread] = set()
    watched = Watched(monkeypatch)
    watched.before[second] = lambda: second_by.update([threading.current_thread()])
    watched.after["a.jsonl.gz"] = is_whole.set
    with monkeypatch.context() as patch:
        patch.setattr(SpoolFile, "write", slowly)
        with pytest.raises(Interrupted):
            opened(files, tmp_path, 2, check_stop=check_stop)
    assert is_stopped.is_set() and without_workers()
    left = {path: path.stat().st_mtime_ns for path in tmp_path.glob("spool/*")}
    assert len(left) == 2 and not any(path.name.endswith(".partial") for path in left)
    rows = opened(files, tmp_path, 2)
    assert rows == opened(files, tmp_path / "one", 1)
    assert left.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.glob("spool/*")}.items()


def test_one_thread_stops_between_blocks(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(table(200_000)))
    asked = 0

    def check_stop() -> None:
        nonlocal asked
        asked += 1
        if asked == 4:
            raise Interrupted(15)

    with pytest.raises(Interrupted):
        opened(resolve([str(tmp_path / "a.csv.gz")]), tmp_path, 1, check_stop=check_stop)
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_how_far_it_is_can_be_seen(
    inputs: list[InputFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(opening, "TELL_EVERY", 0.0)
    events: list[Event] = []
    opened(inputs, tmp_path, threads, 0, events.append, "keep_prefix")
    told = [event for event in events if isinstance(event, Progressed)]
    total = sum(file.size or 0 for file in inputs)
    assert told and {event.total for event in told} == {total}
    done = [event.done for event in told]
    assert done == sorted(done) and 0 < done[-1] <= total
