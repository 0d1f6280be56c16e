"""Jobs whose chunks stay on the device between the passes: the CPU's bytes with all of the memory that they
need, with less, and where the device is lost; what goes up, and is read and scanned, is counted."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from forge_gpu.dedup import near
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.gpu.engine import GpuEngine
from forge_gpu.hardware.budget import Budget
from forge_gpu.io import open_file
from forge_gpu.job.events.events import FellBack, StageStarted
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.job.write_pass import WritePass
from forge_gpu.kernels.layout import CLEAN, Spans
from tests.engine.held_device import KINDS, HostPool, engines_on, host_kernels
from tests.job.jobs import content, plan, rows, write_lines
from tests.kernels.host_device import DeviceLost
from tests.tokens.made import document

__all__ = ["host_kernels"]
pytestmark = pytest.mark.usefixtures("host_kernels")

CHATS: dict[str, Any] = {"data": {"mapping": {"shape": "conversation", "messages": "messages"}}}
JOBS: dict[str, dict[str, Any]] = {
    "flat": {"output": {"columns": ["score"]}, "preprocessing": {"split": {"stratify": "category"}}},
    "chats": CHATS,
    "parts": {"data": {"mapping": {**CHATS["data"]["mapping"], "tools": "tools"}}},
    "tokens": {"output": {"form": "tokens"}, **CHATS},
    "near": {"preprocessing": {"dedup": {"near": {"threshold": 0.7}}}},
    "rejected": {"model": {"chat_template": "chatml", "template_kind": "builtin", "max_length": 16}},
    "array": {},
    "source": {"output": {"form": "source"}, "model": {"chat_template": None, "template_kind": "none"}},
}


def chats(count: int) -> list[dict[str, Any]]:
    return [
        {"messages": [{"role": role, "content": f'"{number}" é\n' * (turn + number % 5 + 1)}
                      for turn in range(number % 3 + 1) for role in ("user", "assistant")]}
        for number in range(count)
    ]  # fmt: skip


def parts(count: int) -> list[dict[str, Any]]:
    """Conversations whose contents are texts, lists of parts, or what no template takes; some have tools."""
    result = []
    for number, record in enumerate(chats(count)):
        for message in record["messages"] if number % 3 else ():
            message["content"] = [{"type": "text", "text": part} for part in (message["content"], "\u00e9")]
        if number % 11 == 0:
            record["messages"] = [record["messages"], [1], "x", None][number // 11 % 4]
        result.append({**record, "tools": [{"name": "f", "parameters": {}}] if number % 5 == 0 else None})
    return result


def source_of(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.jsonl"
    if kind == "array":
        path.with_suffix(".json").write_text(json.dumps(rows(500), indent=1))
        return path.with_suffix(".json")
    if not path.exists():
        made = {"chats": chats, "parts": parts, "tokens": chats}.get(kind)
        write_lines(path, made(400) if made else rows(500))
        if kind == "rejected":
            with path.open("a") as file:
                file.write('{"instruction": "a\n\n\ufeff{"output": "\\ud800"}\n[1]\n')
    return path


def run(
    kind: str, folder: Path, output: str, make: Any, listen: Any = None, threads: int = 1
) -> dict[str, str]:
    sections = JOBS[kind]
    if kind == "tokens":
        (folder / "tokenizer.json").write_text(document("qwen"))
        sections = {**sections, "tokens": {"tokenizer": str(folder)}}
    config = plan(source_of(kind, folder), **sections)
    budget = Budget(2**24, threads, 16384, "a test")
    spec = JobSpec(config, folder, folder / output, fresh=True, range_bytes=65536)
    prepare(spec, budget, make, listen or (lambda event: None), lambda: None)
    return content(folder / output)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, dict[str, str]]]:
    """The folder of a kind of job, and what the CPU's engine writes."""

    @cache
    def of(kind: str) -> tuple[Path, dict[str, str]]:
        folder = tmp_path_factory.mktemp(kind)
        return folder, run(kind, folder, "cpu", CpuEngine)

    return of


@pytest.mark.parametrize("kind", JOBS)
def test_jobs_write_the_same_bytes_with_less_memory(kind: str, expected: Any) -> None:
    folder, bytes_of_cpu = expected(kind)
    full = HostPool()
    assert run(kind, folder, "full", engines_on(full), threads=2) == bytes_of_cpu
    assert len(full.held) > 3 and full.held.let_go == 0
    for parts in (2, 4):
        pool = HostPool(full.peak // parts)
        factory = engines_on(pool)
        assert run(kind, folder, f"of_{parts}", factory, threads=2) == bytes_of_cpu
        assert factory.health.failure is None
        assert pool.held.let_go > 0 and pool.peak <= full.peak // parts


@pytest.mark.parametrize("kind", ["flat", "chats", "parts"])
def test_the_second_pass_reads_and_scans_and_uploads_nothing(
    kind: str, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, bytes_of_cpu = expected(kind)
    source = source_of(kind, folder)
    count: Counter[str] = Counter()

    def counting(owner: Any, name: str, size: Callable[..., int]) -> None:
        real = getattr(owner, name)

        def counted(*arguments: Any) -> Any:
            count[f"{owner.__name__}.{name}"] += size(*arguments)
            return real(*arguments)

        monkeypatch.setattr(owner, name, counted)

    counting(open_file.OpenFile, "read_into", lambda store, target, offset: len(target))
    counting(CpuEngine, "scan", lambda engine, data, *rest: len(data))
    counting(CpuEngine, "messages", lambda engine, column, *rest: len(column))
    counting(GpuEngine, "messages", lambda engine, column, *rest: len(column))
    pool, at_stage = HostPool(), {}

    def listen(event: Any) -> None:
        if isinstance(event, StageStarted):
            at_stage[event.stage] = count + pool.moved

    assert run(kind, folder, "counted", engines_on(pool), listen) == bytes_of_cpu
    before, after = at_stage["decide"], at_stage["finish"]
    size = source.stat().st_size
    assert before["OpenFile.read_into"] >= size and before["resident"] >= size
    # What the device hands over.
    assert 0 < before["CpuEngine.scan"] < size / 4
    assert before["CpuEngine.messages"] <= before["GpuEngine.messages"] / 4
    moved = after - before
    assert moved["OpenFile.read_into"] == moved["CpuEngine.scan"] == 0
    # Lists of parts are looked into once more, on the device.
    assert moved["CpuEngine.messages"] <= (moved["GpuEngine.messages"] / 4 if kind == "parts" else 0)
    # Of what a program made of a chunk, parts of it go up again to be put into lines.
    assert moved["resident"] <= (size / 4 if kind == "parts" else 0)
    lines = sum(len(part.read_bytes().splitlines()) for part in folder.glob("counted/*.jsonl"))
    # Which rows go where; their hashes, once for what is decided. Where the parts of each row are, too.
    assert 0 < moved["upload"] < (size if kind == "parts" else 64 * lines)


def test_spans_go_up_once_a_chunk(expected: Any) -> None:
    folder, _ = expected("flat")
    pool = HostPool()
    run("flat", folder, "once", engines_on(pool))
    records, columns = 500, len(("instruction", "input", "output", "score", "category"))
    of_calls = pool.moved["upload"] - 17 * records * columns
    assert 0 < of_calls < 200 * records


def is_call(kind: str, at: int, name: str, of_kind: int, of_all: int) -> bool:
    """Whether a call is that of a kind with a number."""
    return (name, of_kind) == (kind, at)


@pytest.mark.parametrize("kind_of_call", KINDS)
def test_a_device_lost_at_any_kind_of_call(kind_of_call: str, expected: Any) -> None:
    for kind in ("flat", "chats"):
        folder, bytes_of_cpu = expected(kind)
        whole = HostPool()
        run(kind, folder, "whole", engines_on(whole))
        for at in {1, whole.calls[kind_of_call]}:  # the first, and the last: in the second pass
            pool = HostPool(lost=partial(is_call, kind_of_call, at))
            events: list[Any] = []
            assert run(kind, folder, "lost", engines_on(pool), events.append) == bytes_of_cpu
            assert len([event for event in events if isinstance(event, FellBack)]) == 1


@pytest.mark.parametrize("seed", range(21))
def test_a_device_lost_anywhere(seed: int, expected: Any) -> None:
    kind = ("flat", "chats", "parts", "near", "rejected", "array", "source")[seed % 7]
    folder, bytes_of_cpu = expected(kind)
    at = random.Random(seed).randint(1, 300)
    pool = HostPool(lost=lambda name, of_kind, of_all: of_all == at)
    assert run(kind, folder, "lost", engines_on(pool), threads=seed % 2 + 1) == bytes_of_cpu
    told = orjson.loads((folder / "lost" / "manifest.json").read_bytes())["run"]
    assert ("DeviceLost" in (told["fell_back"] or "")) == (pool.calls.total() >= at)


def test_candidates_are_compared_and_joined_on_the_device(
    expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, bytes_of_cpu = expected("near")
    pool, compared = HostPool(), []
    monkeypatch.setattr(near, "_compared", lambda *_: pytest.fail("the host compares"))

    def noting(real: Any) -> Any:
        def there(engine: GpuEngine, *arguments: Any) -> Any:
            compared.append(real(engine, *arguments))
            return compared[-1]

        return there

    for name in ("shared_shingles", "united"):
        monkeypatch.setattr(GpuEngine, name, noting(getattr(GpuEngine, name)))
    assert run("near", folder, "compared", engines_on(pool)) == bytes_of_cpu
    assert len(compared) > 1 and None not in compared


@pytest.mark.parametrize("name", ["shared_shingles", "united"])
@pytest.mark.parametrize("fault", [MemoryError("out of memory"), DeviceLost("unspecified launch failure")])
def test_what_the_device_cannot_compare_or_join_the_host_does(
    name: str, fault: Exception, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, bytes_of_cpu = expected("near")
    real, calls = getattr(GpuEngine, name), []

    def failing(engine: GpuEngine, *arguments: Any) -> Any:
        calls.append(name)
        if len(calls) == 1:
            raise fault
        return real(engine, *arguments)

    monkeypatch.setattr(GpuEngine, name, failing)
    factory = engines_on(HostPool())
    assert run("near", folder, "failing", factory) == bytes_of_cpu
    assert calls and (factory.health.failure is None) == isinstance(fault, MemoryError)


def test_a_file_that_changes_under_what_is_held_ends_the_run(tmp_path: Path) -> None:
    from forge_gpu.errors import InputError

    source = write_lines(tmp_path / "flat.jsonl", rows(100))

    def listen(event: Any) -> None:
        if isinstance(event, StageStarted) and event.stage == "write":
            source.write_text(source.read_text().replace("word", "wort"))

    with pytest.raises(InputError, match="changed while it was read"):
        run("flat", tmp_path, "out", engines_on(HostPool()), listen)


def test_a_text_comes_down_once_and_is_kept_without_a_copy(host_kernels: None) -> None:
    data = np.frombuffer(b"abcdefgh", np.uint8)
    column = Spans(data, np.array([0, 3]), np.array([3, 5]), np.full(2, CLEAN, np.uint8))
    pool = HostPool()
    engine = engines_on(pool)()
    text = engine.text(column)
    before = pool.moved["download"]
    retained, own = engine.keep(text), engine.own(text)
    assert retained.data is text.data and own.data is text.data
    assert pool.moved["download"] - before == 8
    assert [retained.row(i) for i in range(2)] == [b"abc", b"defgh"]


def test_lines_are_written_while_the_next_chunk_renders(
    expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, bytes_of_cpu = expected("flat")
    pool, append = HostPool(), WritePass.append
    rendering: set[int] = set()  # threads that have, since the pass began
    beside: list[bool] = []
    ask = pool.ask

    def noting(kind: str, size: int = 0) -> None:
        if kind == "kernel":
            rendering.add(threading.get_ident())
        ask(kind, size)

    def slow(self: WritePass, chunk: Any) -> Any:
        end = time.monotonic() + 20
        while not beside and rendering <= {threading.get_ident()} and time.monotonic() < end:
            time.sleep(0.001)
        beside.append(not rendering <= {threading.get_ident()})
        return append(self, chunk)

    def listen(event: Any) -> None:
        if isinstance(event, StageStarted) and event.stage == "write":
            rendering.clear()

    monkeypatch.setattr(pool, "ask", noting)
    monkeypatch.setattr(WritePass, "append", slow)
    assert run("flat", folder, "beside", engines_on(pool), listen, threads=2) == bytes_of_cpu
    assert beside[0]  # before anything of the first chunk was written
