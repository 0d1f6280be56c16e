"""Frames on the device: cuDF's, read from Parquet by cuDF, against pandas' on the CPU engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.gpu_day.places import simulated, timed
from benchmarks.gpu_day.row import Row, held
from benchmarks.gpu_day.whole_job import write_rows
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.frames.engine import FrameEngine
from forge_gpu.library import open_engine

SIZE = 1 << 28
WIDE = 2_300_000
"""Rows of 1 kB: more bytes than int32 offsets reach."""

Engine = FrameEngine[Any, Any]
Read = Callable[[Path], Any]

METHODS: dict[str, Callable[[Engine, Any], Any]] = {
    "render": lambda engine, frame: engine.render(frame, "chatml"),
    "duplicate_of": lambda engine, frame: engine.duplicate_of(frame),
    "deduplicate": lambda engine, frame: engine.deduplicate(frame, "response"),
    "split": lambda engine, frame: engine.split(frame)["validation"],
    "check": lambda engine, frame: engine.check(frame, ["query", "response"]),
}


def rows(dry: bool) -> Iterator[Row]:
    cpu: Engine = open_engine("cpu", threads=1)
    gpu, read = _simulated() if dry else _cudf()
    with tempfile.TemporaryDirectory(prefix="gpu-day-") as folder:
        source = write_rows(Path(folder), 4000 if dry else SIZE, "parquet")
        host, host_seconds = timed(_read_pandas, source)
        device, device_seconds = timed(read, source)
        yield _row("Parquet into a frame", len(host) == len(device), host_seconds, device_seconds, dry)
        for name, method in METHODS.items():
            if not dry:
                method(gpu, device)  # compiles
            expected, host_seconds = timed(method, cpu, host)
            result, device_seconds = timed(method, gpu, device)
            yield _row(name, _same(expected, result), host_seconds, device_seconds, dry)
        for part in (slice(1, None), slice(1, 2), slice(0, 0)):
            result, expected = gpu.render(device.iloc[part], "chatml"), cpu.render(host.iloc[part], "chatml")
            what = f"rows {part.start}:{'' if part.stop is None else part.stop}"
            yield Row("frames", what, "ran", held(_same(expected, result)))
    if not dry:
        yield from _only_on_a_gpu(gpu)


def _row(what: str, good: bool, host_seconds: float, device_seconds: float, dry: bool) -> Row:
    figure = "ran" if dry else f"CPU {host_seconds:.2f} s, GPU {device_seconds:.2f} s"
    return Row("frames", what, figure, held(good))


def _only_on_a_gpu(engine: Engine) -> Iterator[Row]:
    """What cannot be seen elsewhere: columns beyond 2 GiB, and columns that cuDF may spill."""
    import cudf

    wide = cudf.DataFrame({"text": cudf.Series(["é" + "x" * 1020]).repeat(WIDE).reset_index(drop=True)})
    text, seconds = timed(engine.render, wide, "<{text}>")
    ends = text.iloc[[0, WIDE - 1]].to_arrow().to_pylist()
    good = ends == ["<é" + "x" * 1020 + ">"] * 2 and int(text.str.byte_count().sum()) == WIDE * 1024
    yield Row("frames", "a column beyond 2 GiB", f"{seconds:.2f} s", held(good))
    cudf.set_option("spill", True)
    spilled = cudf.DataFrame({"text": ["a", None, "中"] * 5000})
    good = engine.render(spilled, "<{text}>").to_arrow().to_pylist() == ["<a>", None, "<中>"] * 5000
    yield Row("frames", "a column that may be spilled", "ran", held(good))


def _same(expected: Any, result: Any) -> bool:
    """Whether pandas' frame or series and another hold the same."""
    return _arrays(expected) == _arrays(result)


def _arrays(result: Any) -> list[pa.Array]:
    """The index and the columns, one after the other."""
    columns = [result[name] for name in result.columns] if result.ndim == 2 else [result]
    if hasattr(result.index, "to_pandas"):  # cuDF's
        return [pa.array(result.index.to_pandas()), *(_plain(column.to_arrow()) for column in columns)]
    return [pa.array(result.index), *(_plain(pa.array(column, from_pandas=True)) for column in columns)]


def _plain(array: Any) -> pa.Array:
    """One array; text with wide offsets, whatever it had."""
    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return whole.cast(pa.large_string()) if pa.types.is_string(whole.type) else whole


def _read_pandas(source: Path) -> Any:
    import pandas as pd

    return pq.read_table(source).to_pandas(types_mapper=pd.ArrowDtype)


def _cudf() -> tuple[Engine, Read]:
    import cudf

    return open_engine("gpu"), cudf.read_parquet


def _simulated() -> tuple[Engine, Read]:
    from forge_gpu.engine.gpu.engine import GpuEngine
    from forge_gpu.frames.cudf_frames import CudfFrames
    from tests.frames.simulated_cudf import SimulatedAdapter, SimulatedFrame

    engine = GpuEngine(simulated(), CpuEngine(), 0)
    engines = EngineFactory("gpu", "simulated", lambda factory: engine)
    return FrameEngine(engines, CudfFrames(SimulatedAdapter())), lambda source: SimulatedFrame(
        _read_pandas(source)
    )
