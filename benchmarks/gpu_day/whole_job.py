"""Whole jobs: GPU engine against CPU engine with all cores; with little memory, a fault, several GPUs."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_day.places import simulated, simulated_parquet
from benchmarks.gpu_day.row import Row, held
from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.engine.choose import EngineFactory, engine_factory, gpu_maker
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.hardware.budget import Budget, cpu_budget, peak_factors
from forge_gpu.hardware.host import read_cores, read_memory
from forge_gpu.job.events.events import Event
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec

SIZE = 1 << 30
LARGE = 8 << 30
CHUNKS = (8 << 20, 32 << 20, 64 << 20)
GROUP_ROWS = 16_000
"""Rows of a row group of Parquet, 20 MB: larger ones than 128 MB are spooled, and so are the host's."""

LITTLE = 192 << 20
"""Bytes of the capped pool: less than a chunk of 64 MiB takes at its peak."""

FAULT_AT = 40
"""The launch with which a device is lost."""


def engines(dry: bool) -> Iterator[Row]:
    """The same job on both engines: from JSON lines by chunks of several sizes, and from Parquet."""
    if not dry:
        with _folder() as folder:  # libraries are loaded and kernels compiled before anything is timed
            small = write_rows(folder, 64 << 20, "jsonl")
            _run(small, folder / "gpu", _factory(dry), dry)
    for form, size, sizes in (
        ("jsonl", 4000 if dry else LARGE, (4096, 8192) if dry else CHUNKS),
        ("parquet", 4000 if dry else SIZE, (None,)),
    ):
        with _folder() as folder:
            source = write_many(folder, size) if form == "jsonl" else write_rows(folder, size, form)
            expected, cpu_seconds = _run(source, folder / "out", EngineFactory("cpu", "", _cpu), dry)
            for chunk in sizes:
                yield _against(source, folder / "out", chunk, expected, cpu_seconds, dry)


def _against(
    source: Path, output: Path, chunk: int | None, expected: dict[str, str], cpu_seconds: float, dry: bool
) -> Row:
    size, factory = source.stat().st_size, _factory(dry)
    result, seconds = _run(source, output, factory, dry, chunk)
    speeds = f"CPU {size / cpu_seconds / 1e9:.2f} GB/s, GPU {size / seconds / 1e9:.2f} GB/s"
    figure = "ran" if dry else f"{speeds}, {cpu_seconds / seconds:.2f} times as fast{_peaks(factory, chunk)}"
    health = factory.health
    if health.failure or health.rows_on_cpu:
        figure += f"; {health.rows_on_cpu} rows on the CPU, failure: {health.failure}"
    chunks = "" if chunk is None else f", chunks of {chunk / 2**20:g} MiB"
    good = result == expected and health.failure is None
    return Row("jobs", f"whole job, {source.suffix[1:]}{chunks}", figure, held(good))


def _peaks(factory: EngineFactory, chunk: int | None) -> str:
    """The peak of the pool, what of it may have been held for the next pass, and what peak_factors.toml
    counts on for the engines' chunks."""
    if chunk is None:
        return ""
    factor = max(sum(stages.values()) for stages in peak_factors()["gpu"]["passes"].values())
    engines = read_cores().allowed + 1
    return "".join(
        f"; peak {pool['peak'] / 2**20:,.0f} MiB, {pool['held'] / 2**20:,.0f} of it held, "
        f"counted on {chunk * factor * engines / 2**20:,.0f} beside"
        for pool in factory.report()["gpus"]
    )


def little_memory(dry: bool) -> Iterator[Row]:
    """A pool that chunks do not fit in: halved, and the same bytes."""
    for form in ("jsonl", "parquet"):
        with _folder() as folder:
            source = write_rows(folder, 3000 if dry else SIZE // 8, form)
            expected, _ = _run(source, folder / "cpu", EngineFactory("cpu", "", _cpu), dry)
            factory = _factory(dry, limit=2000 if dry else LITTLE)
            result, _ = _run(source, folder / "gpu", factory, dry, chunk_bytes=16384 if dry else 64 << 20)
            health = factory.health
            figure = (
                f"{health.halvings} halvings, {health.rows_on_cpu} rows on the CPU, failure: {health.failure}"
            )
            tight = health.halvings + health.rows_on_cpu > 0
            good = result == expected and tight and health.failure is None
            yield Row("memory", f"a capped pool, {form}", figure, held(good))


def illegal_access(dry: bool) -> Iterator[Row]:
    """A kernel that reads what is not its own, in the midst of a job: the CPU goes on, to the same bytes."""
    with _folder() as folder:
        source = write_rows(folder, 12_000 if dry else SIZE // 8, "jsonl")
        expected, _ = _run(source, folder / "cpu", EngineFactory("cpu", "", _cpu), dry)
        factory = _factory(dry)
        whole = factory.make
        factory.make = lambda made: _losing(whole(made), 3 if dry else FAULT_AT)
        result, _ = _run(source, folder / "gpu", factory, dry)
        failure = factory.health.failure
        figure = f"given up for: {failure}"[:100]
        yield Row("fault", "an illegal access", figure, held(result == expected and failure is not None))


def _losing(engine: Any, at: int) -> Engine:
    """The engine, whose device is lost with a launch."""
    if engine.name == "cpu":  # it has been given up
        return CpuEngine()
    device = engine._fast._device
    launch, launches = device.launch, iter(range(1, at + 1))

    def launched(made: Any, threads: int, *arguments: Any, block: int | None = None) -> None:
        if next(launches, None) == at:
            device.launch = launch
            _poke(device)
        launch(made, threads, *arguments, block=block)

    device.launch = launched
    lost: Engine = engine
    return lost


def _poke(device: Any) -> None:
    """Write where no memory is. The simulator says at once what CUDA says of a later call."""
    from numba import config, cuda

    if config.ENABLE_CUDASIM:
        raise RuntimeError("an illegal memory access was encountered, as planted")

    def poke(memory: Any) -> None:
        memory[np.uint64(1) << np.uint64(46)] = 1

    device.launch(cuda.jit(poke), 1, device.bytes(8))


def several_gpus(dry: bool) -> Iterator[Row]:
    """One GPU against all."""
    factory = None if dry else engine_factory("gpu")
    if factory is None or len(factory.gpus) < 2:
        yield Row("several", "all GPUs", "there are not two", "not run")
        return
    with _folder() as folder:
        source = write_rows(folder, SIZE, "jsonl")
        one, one_seconds = _run(source, folder / "one", _factory(dry, gpus=1), dry)
        many, many_seconds = _run(source, folder / "all", factory, dry)
        figure = f"{len(factory.gpus)} GPUs {one_seconds / many_seconds:.2f} times as fast as one"
        yield Row("several", "all GPUs", figure, held(one == many))


def _factory(dry: bool, limit: int | None = None, gpus: int | None = None) -> EngineFactory:
    """GPU engines; limit: bytes of each pool. In a dry run, on the simulator."""
    if dry:
        return EngineFactory("gpu", "dry", lambda made: _simulated_engine(made, limit))
    result = engine_factory("gpu")
    devices = result.gpus[: gpus or 1]
    made = EngineFactory("gpu", result.reason, gpu_maker(devices), devices)
    if limit is not None:
        made.fixed_pools = (limit,) * len(devices)
    return made


def _simulated_engine(factory: EngineFactory, limit: int | None) -> Engine:
    from forge_gpu.engine.gpu.engine import GpuEngine
    from forge_gpu.engine.resilient import ResilientEngine

    engine = GpuEngine(simulated(limit), CpuEngine(), 0, simulated_parquet())
    return ResilientEngine(engine, CpuEngine(), factory.health)


def _cpu(factory: EngineFactory) -> Engine:
    return CpuEngine()


def _run(
    source: Path, output: Path, factory: EngineFactory, dry: bool, chunk_bytes: int | None = None
) -> tuple[dict[str, str], float]:
    """(the digests of the output, seconds) of a job, whose output is then removed."""
    began = time.perf_counter()
    budget = _budget(factory, dry)
    if chunk_bytes is not None:
        budget = replace(budget, chunk_bytes=chunk_bytes, reason="as asked for")
    prepare(JobSpec(_plan(source), source.parent, output), budget, factory, _ignore, lambda: None)
    seconds = time.perf_counter() - began
    digests = _digests(output)
    shutil.rmtree(output)
    return digests, seconds


def _budget(factory: EngineFactory, dry: bool) -> Budget:
    host = read_memory()
    if dry:
        return Budget(2**24, 1, 4096, "dry")
    return factory.budget(cpu_budget(host, read_cores()), host.available)


def _plan(source: Path) -> Config:
    return Config.model_validate(
        {
            "data": {
                "inputs": [str(source)],
                "mapping": {"shape": "flat", "query": "query", "response": "response"},
            },
            "model": {"chat_template": "chatml", "template_kind": "builtin"},
            "output": {"verify": False},
        }
    )


def _ignore(event: Event) -> None:
    """Nothing listens."""


def _digests(output: Path) -> dict[str, str]:
    """Of each file of rows, all at once: they are as large as the input."""

    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    paths = sorted(output.glob("*.jsonl"))
    with ThreadPoolExecutor() as threads:
        return {path.name: made for path, made in zip(paths, threads.map(digest, paths), strict=True)}


class _folder:
    """A temporary folder, removed at the end."""

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix="gpu-day-")
        return Path(self._folder.name)

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()


ANSWER = 'It depends on "what" you mean.\nFirst, look at the data; then look again — gründlich. ' * 12
DIGITS = 10


def write_many(folder: Path, size: int) -> Path:
    """As `write_rows`, lines of one width whose numbers are patched in: as fast as the disk is."""
    number = "#" * DIGITS
    row = {"query": f"Question {number}: how does this work?", "response": f"{number}. {ANSWER}"}
    line = np.frombuffer((json.dumps(row, ensure_ascii=False) + "\n").encode(), np.uint8)
    starts = np.flatnonzero(line == ord("#")).reshape(2, DIGITS)[:, 0]
    path = folder / "in.jsonl"
    count = max(size // len(line), 2)
    powers = 10 ** np.arange(DIGITS - 1, -1, -1)
    with path.open("wb") as file:
        for first in range(0, count, 50_000):
            ids = np.arange(first, min(first + 50_000, count))
            ids = np.where(ids % 10 == 0, ids // 2, ids)
            lines = np.tile(line, (len(ids), 1))
            for start in starts:
                lines[:, start : start + DIGITS] = ids[:, None] // powers % 10 + ord("0")
            file.write(lines.data)
    return path


def write_rows(folder: Path, size: int, form: str) -> Path:
    """Rows of about 1.2 kB, one in ten like an earlier one."""
    path = folder / f"in.{form}"
    count = max(size // 1250, 2)
    ids = (number if number % 10 else number // 2 for number in range(count))
    texts = [(f"Question {number}: how does this work?", f"{number}. {ANSWER}") for number in ids]
    if form == "jsonl":
        with path.open("w", encoding="utf-8") as file:
            for query, response in texts:
                file.write(json.dumps({"query": query, "response": response}, ensure_ascii=False) + "\n")
        return path
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Callable[[], list[str]]] = {
        "query": lambda: [query for query, _ in texts],
        "response": lambda: [response for _, response in texts],
    }
    table = pa.table({name: values() for name, values in columns.items()})
    pq.write_table(table, path, row_group_size=min(max(count // 2, 1), GROUP_ROWS))
    return path
