"""Whole jobs: the GPU engine against the CPU engine with all cores, in little memory, on several GPUs."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.gpu_day.places import simulated, simulated_parquet
from benchmarks.gpu_day.row import Row, held
from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.engine.choose import EngineFactory, engine_factory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.hardware.budget import Budget, cpu_budget
from forge_gpu.hardware.host import read_cores, read_memory
from forge_gpu.job.events.events import Event
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec

SIZE = 1 << 30
GROUP_ROWS = 16_000
"""Rows of a row group of Parquet, 20 MB: larger ones than 128 MB are spooled, and so are the host's."""

LITTLE = 192 << 20
"""Bytes of the capped pool: less than a chunk of 64 MiB takes at its peak."""


def engines(dry: bool) -> Iterator[Row]:
    """The same job on both engines, from JSON lines and from Parquet: the same bytes, and how fast."""
    with _folder() as folder:
        for source in (write_rows(folder, 4000 if dry else SIZE, form) for form in ("jsonl", "parquet")):
            size = source.stat().st_size
            cpu, cpu_seconds = _run(source, folder / "cpu", EngineFactory("cpu", "", _cpu), dry)
            factory = _factory(dry)
            gpu, gpu_seconds = _run(source, folder / "gpu", factory, dry)
            speeds = f"CPU {size / cpu_seconds / 1e9:.2f} GB/s, GPU {size / gpu_seconds / 1e9:.2f} GB/s"
            figure = "ran" if dry else f"{speeds}, {cpu_seconds / gpu_seconds:.1f} times as fast"
            health = factory.health
            if health.failure or health.rows_on_cpu:
                figure += f"; {health.rows_on_cpu} rows on the CPU, failure: {health.failure}"
            good = cpu == gpu and health.failure is None
            yield Row("job", f"whole job, {source.suffix[1:]}", figure, held(good))


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
    from forge_gpu.engine.choose import gpu_maker

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
    """(the digests of the output, seconds) of the second of two runs: the first one compiles."""
    seconds = 0.0
    for _ in range(1 if dry else 2):
        shutil.rmtree(output, ignore_errors=True)
        began = time.perf_counter()
        budget = _budget(factory, dry)
        if chunk_bytes is not None:
            budget = Budget(budget.bytes, budget.threads, chunk_bytes, "capped")
        prepare(JobSpec(_plan(source), source.parent, output), budget, factory, _ignore, lambda: None)
        seconds = time.perf_counter() - began
    return _digests(output), seconds


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
    names = sorted(path for path in output.glob("*.jsonl"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in names}


class _folder:
    """A temporary folder, removed at the end."""

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix="gpu-day-")
        return Path(self._folder.name)

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()


def write_rows(folder: Path, size: int, form: str) -> Path:
    """Rows of about 1.2 kB, one in ten like an earlier one."""
    path = folder / f"in.{form}"
    answer = 'It depends on "what" you mean.\nFirst, look at the data; then look again — gründlich. ' * 12
    count = max(size // 1250, 2)
    ids = (number if number % 10 else number // 2 for number in range(count))
    texts = [(f"Question {number}: how does this work?", f"{number}. {answer}") for number in ids]
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
