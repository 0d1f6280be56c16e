"""Frames on the GPU give what pandas' give on the CPU engine: on a simulated device, and cuDF's on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import forge_gpu
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.gpu import cudf_adapter
from forge_gpu.engine.resilient import Health, ResilientEngine
from forge_gpu.errors import InputError
from forge_gpu.frames import blocks
from forge_gpu.frames.any_frames import AnyFrames
from forge_gpu.frames.choose import frames_for
from forge_gpu.frames.cudf_frames import CudfFrames
from forge_gpu.frames.engine import FrameEngine
from forge_gpu.io.columns import arrow_spans
from tests.frames.simulated_cudf import SimulatedAdapter, SimulatedFrame
from tests.kernels.cuda_backends import SIMULATED, open_device, run_simulated
from tests.kernels.simulated_engine import Entered

BACKENDS = [pytest.param("sim", marks=pytest.mark.sim), pytest.param("gpu", marks=pytest.mark.gpu)]
CPU = forge_gpu.open_engine("cpu")
JINJA = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}"


class OnDevice:
    """An engine over frames of a device, and the way from pandas' frames to those and back."""

    def __init__(self, name: str) -> None:
        from forge_gpu.engine.gpu.engine import GpuEngine

        device = Entered(open_device(name))
        self.name = name
        self.health = Health()
        self.device = device
        if name == "sim":
            self.adapter: Any = SimulatedAdapter()
        else:
            from forge_gpu.engine.gpu.cudf_adapter import CudfAdapter

            self.adapter = CudfAdapter()
        engine = ResilientEngine(GpuEngine(device, CpuEngine(), 0), CpuEngine(), self.health)
        frames = AnyFrames({"cudf": CudfFrames(self.adapter)})
        self.engine: FrameEngine[Any, Any] = FrameEngine(
            EngineFactory("gpu", "a test", lambda factory: engine, health=self.health), frames
        )

    def moved(self, frame: pd.DataFrame) -> Any:
        if self.name == "sim":
            return SimulatedFrame(frame)
        import cudf

        columns = {
            name: cudf.Series.from_arrow(pa.array(frame[name], from_pandas=True)) for name in frame.columns
        }
        return cudf.DataFrame(columns)

    def back(self, result: Any) -> Any:
        """A series or a frame of the device as lists of Python objects."""
        assert type(result).__module__.startswith("pandas" if self.name == "sim" else "cudf") or isinstance(
            result, SimulatedFrame
        )
        host = result if self.name == "sim" else result.to_pandas()
        return listed(host)


@contextmanager
def counted(device: Any, adapter: Any, came: list[int]) -> Iterator[None]:
    """Counts the bytes, and not the numbers, that come to the host."""
    download, bring = device.download, adapter.to_host

    def downloaded(array: Any) -> Any:
        came[0] += array.nbytes if array.dtype == np.uint8 else 0
        return download(array)

    def brought(data: Any) -> Any:
        came[0] += len(data)
        return bring(data)

    device.download, adapter.to_host = downloaded, brought
    try:
        yield
    finally:
        device.download, adapter.to_host = download, bring


def listed(result: Any) -> Any:
    if isinstance(result, pd.DataFrame):
        return {name: listed(result[name]) for name in result}
    return [None if value is pd.NA or value is None or value != value else value for value in result.tolist()]


@pytest.fixture(params=BACKENDS)
def on(request: pytest.FixtureRequest) -> OnDevice:
    return OnDevice(request.param)


def texts(values: list[Any]) -> Any:
    return pd.array(values, pd.ArrowDtype(pa.large_string()))


def frame() -> pd.DataFrame:
    """Texts with nulls, repetitions, what checks fail and what is not UTF-8, and columns that are no text."""
    query = ["q", "two é", "q", None, "", "\x01", "q", "Ã©", "last"]
    answer = ["a" * 30, "b\nc", "a" * 30, "d", None, "中" * 9, "again " * 9, "", "x"]
    broken = pa.array([b"ok"] * 7 + [b"\xc3", b"ok"], pa.large_binary()).view(pa.large_string())
    return pd.DataFrame(
        {
            "query": texts(query),
            "response": texts(answer),
            "bytes": pd.arrays.ArrowExtensionArray(broken),
            "group": texts(list("aabbccdde")),
            "n": pd.array([1, 2, 1, None, 5, 6, 1, 8, 9], "Int64"),
            "x": [0.5, 1.0, 0.5, 2.0, float("nan"), 1e30, 0.5, -1.0, 3.0],
        }
    )


def same(on: OnDevice, method: str, made: pd.DataFrame, *arguments: Any, **keywords: Any) -> Any:
    expected = getattr(CPU, method)(made, *arguments, **keywords)
    result = getattr(on.engine, method)(on.moved(made), *arguments, **keywords)
    if isinstance(expected, dict):
        assert {name: on.back(part) for name, part in result.items()} == {
            name: listed(part) for name, part in expected.items()
        }
    else:
        assert on.back(result) == listed(expected)
    assert on.health.failure is None
    return result


def test_render_and_reasons(on: OnDevice) -> None:
    for template in ("chatml", "<{query}> {{{response}}} {n} {x}", "{bytes}"):
        text = same(on, "render", frame(), template)
        assert text.name == "text"
        same(on, "reasons", frame(), template)


def test_messages_in_columns_of_lists(on: OnDevice) -> None:
    kind = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
    chats = [[{"role": "user", "content": f" {i} "}, {"role": "assistant", "content": "é"}] for i in range(5)]
    made = pd.DataFrame({"messages": pd.array([*chats, None], pd.ArrowDtype(kind))})
    same(on, "render", made, JINJA)


def message(role: str | None, content: str | None, **more: str | None) -> dict[str, str | None]:
    return {"role": role, "content": content, **more}


CHATS = {"shape": "conversation", "messages": "messages"}
CONVERSATIONS: list[Any] = [
    [message("user", 'quoted "é"\n\t\\ /'), message("assistant", "\u2028 中 \x01")], [], None,
    [message("system", ""), message("user", "x" * 300), message("assistant", "y")],
    [message("user", None), message("assistant", "a call")], [message("robot", "?")],
]  # fmt: skip


def lists(rows: list[Any], *fields: str) -> pd.DataFrame:
    kind = pa.list_(pa.struct(dict.fromkeys(("role", "content", *fields), pa.string())))
    return pd.DataFrame({"messages": pd.array(rows, pd.ArrowDtype(kind))})


@pytest.mark.parametrize(
    "made",
    [
        lists(CONVERSATIONS),
        lists([*CONVERSATIONS, [message(None, "of nobody")]]),
        lists([[message("user", "x", name="n"), message("assistant", "y", name="")]], "name"),
        lists([[None, message("user", "x")], [message("user", "x", name=None)]], "name"),
        lists([None, []]),
    ],
)
def test_the_json_of_lists_is_that_of_arrow(on: OnDevice, made: pd.DataFrame) -> None:
    expected = arrow_spans(pa.array(made["messages"], from_pandas=True))
    frames, engine, moved = CudfFrames(on.adapter), on.engine.passes.workers, on.moved(made)
    with engine.borrow() as worker:
        (whole,) = [block for block, _ in blocks.blocks(
            frames, worker.engine, moved, ["messages"], (0, len(made)), 10**9
        )]  # fmt: skip
    column = whole["messages"]
    assert column.kind.tolist() == expected.kind.tolist()
    assert [column.raw(i) for i in range(len(made))] == [expected.raw(i) for i in range(len(made))]
    same(on, "render", made, "chatml", mapping=CHATS)
    same(on, "reasons", made, JINJA, mapping=CHATS)


def test_lists_with_bytes_that_are_no_utf8_go_by_the_host(on: OnDevice) -> None:
    values = ([b"user", b"user"], [b"a", b"\xff"])
    texts = [pa.array(value, pa.binary()).view(pa.string()) for value in values]
    records = pa.StructArray.from_arrays(texts, ["role", "content"])
    array = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), records)
    same(on, "reasons", pd.DataFrame({"messages": pd.arrays.ArrowExtensionArray(array)}), "chatml")


def test_texts_of_lists_never_come_to_the_host(on: OnDevice) -> None:
    rows = [[message("user", f"{i} asks " * 9), message("assistant", f"{i} says " * 20)] for i in range(64)]
    made, came = lists(rows), [0]
    device, moved = on.device.device, on.moved(made)
    with counted(device, on.adapter, came):
        text = on.engine.render(moved, "chatml", mapping=CHATS)
    size = sum(len(turn["content"] or "") for row in rows for turn in row)
    # One value, in which keys are looked at; the rows that the guard compares; of each message role and kind.
    assert 0 < came[0] < size / 4
    assert on.back(text) == listed(CPU.render(made, "chatml"))


def test_deduplicate_and_split(on: OnDevice) -> None:
    made = frame().drop(columns="bytes")
    same(on, "duplicate_of", made, ["query", "response"])
    same(on, "duplicate_of", made, ["n", "x"])
    for keep in ("first", "last"):
        same(on, "deduplicate", made, "query", keep)
    same(on, "split", made, 0.5, 0.25, 0.25, stratify="group")
    same(on, "split", made, 0.5, 0.5, mode="threshold", columns="query")


def test_check(on: OnDevice) -> None:
    same(on, "check", frame(), mapping={"query": "query", "response": "response"}, max_length=5)
    same(on, "check", frame(), ["response", "bytes"], repetition="off")


def test_slices_and_small_blocks(on: OnDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    made = frame()
    for part in (slice(2, 8), slice(3, 4), slice(0, 0)):
        moved = on.moved(made).iloc[part]
        result = on.engine.render(moved, "{query}|{response}")
        assert on.back(result) == listed(CPU.render(made.iloc[part], "{query}|{response}"))
    for rows, size in ((1, 10**6), (4, 10**6), (100, 40)):
        monkeypatch.setattr(blocks, "BLOCK_ROWS", rows)
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
        same(on, "render", made, "{query}|{response}|{bytes}")
        same(on, "duplicate_of", made, ["query", "response"])


def test_texts_never_come_to_the_host(on: OnDevice) -> None:
    made = frame().drop(columns=["n", "x"])
    moved = on.moved(made)
    brought: list[int] = []
    bring = on.adapter.to_host

    def counted(data: Any) -> Any:
        brought.append(len(data))
        return bring(data)

    on.adapter.to_host = counted
    text = on.engine.render(moved, "{query}|{response}|{bytes}")
    on.engine.duplicate_of(moved)
    on.engine.check(moved, ["query", "response"])
    if on.name == "gpu":
        assert sum(brought) <= 2 * 4 * 8  # masks of nulls only
    else:
        assert brought == []
    assert on.back(text) == listed(CPU.render(made, "{query}|{response}|{bytes}"))


def test_near_duplicates_and_splits_bring_no_text(on: OnDevice) -> None:
    same(on, "near_duplicates", frame().drop(columns="bytes"), ["query", "response"], threshold=0.5)
    same(on, "split", frame().drop(columns="bytes"), 0.5, 0.5, group="group", columns="query")
    own = [f"{n} of its own {n} " * 2 for n in (1, 22, 345, 6789)]
    made = pd.DataFrame({"text": texts([*own, *(text + "!" for text in own), own[2]])})
    assert CPU.near_duplicates(made, "text", threshold=0.9).notna().sum() == len(own) + 1
    brought: list[int] = []
    download = on.device.device.download

    def counted(array: Any) -> Any:
        brought.append(array.nbytes if array.dtype == np.uint8 else 0)
        return download(array)

    on.device.device.download = counted
    same(on, "near_duplicates", made, "text", threshold=0.9)
    same(on, "split", made, 0.5, 0.5, columns="text")
    same(on, "deduplicate", made, "text")
    assert brought and max(brought) <= len(made)  # a byte a row: which are UTF-8


def test_pandas_goes_in_and_comes_out_as_well(on: OnDevice) -> None:
    text = on.engine.render(frame(), "chatml")
    assert type(text) is pd.Series and listed(text) == listed(CPU.render(frame(), "chatml"))


def test_faults_are_one_clear_line(on: OnDevice) -> None:
    with pytest.raises(TypeError, match=r"takes frames of pandas, polars.*, not builtins.set"):
        on.engine.render({1}, "chatml")
    twice = on.moved(frame())
    with pytest.raises(InputError, match="no column is named 'quer'; did you mean 'query'"):
        on.engine.deduplicate(twice, "quer")


@pytest.mark.sim
def test_what_does_not_fit_is_halved_sim() -> None:
    if not SIMULATED:
        pytest.skip("runs in a process of its own, with NUMBA_ENABLE_CUDASIM=1")
    on = OnDevice("sim")
    for limit in (400, 100, 10):
        on.device.device.limit = limit
        assert on.back(on.engine.render(on.moved(frame()), "chatml")) == listed(CPU.render(frame(), "chatml"))
    assert on.health.halvings > 0 and on.health.rows_on_cpu > 0 and on.health.failure is None


@pytest.mark.sim
def test_a_device_that_is_lost_is_done_without_sim() -> None:
    if not SIMULATED:
        pytest.skip("runs in a process of its own, with NUMBA_ENABLE_CUDASIM=1")
    on = OnDevice("sim")
    on.device.device.launch = lost
    moved = on.moved(frame())
    assert on.back(on.engine.render(moved, "chatml")) == listed(CPU.render(frame(), "chatml"))
    assert on.health.failure == "RuntimeError: the device is lost" and on.engine.name == "cpu"


def lost(*arguments: Any, **keywords: Any) -> None:
    raise RuntimeError("the device is lost")


def test_a_cpu_engine_says_what_takes_a_frame_of_the_gpu() -> None:
    of_cudf: Any = type("DataFrame", (), {"__module__": "cudf.core.dataframe"})()
    with pytest.raises(TypeError, match=r"not cudf.DataFrame; a GPU engine takes it, or pass"):
        CPU.render(of_cudf, "chatml")


def test_an_engine_on_a_gpu_takes_frames_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    class OfGpu(CpuEngine):
        name = "gpu"

    monkeypatch.setattr(cudf_adapter, "CudfAdapter", SimulatedAdapter)
    engine: FrameEngine[Any, Any] = FrameEngine(
        EngineFactory("gpu", "a test", lambda factory: OfGpu()), frames_for("gpu")
    )
    for made in (frame(), SimulatedFrame(frame())):
        assert listed(engine.render(made, "chatml")) == listed(CPU.render(frame(), "chatml"))
        assert type(engine.deduplicate(made, "query")) is type(made)
    assert isinstance(frames_for("cpu"), AnyFrames)


def test_names_are_checked_on_every_kind_of_frame() -> None:
    frames = CudfFrames(SimulatedAdapter())
    with pytest.raises(InputError, match="column 1 has a name that is no string"):
        frames.columns(SimulatedFrame({1: [1]}))
    with pytest.raises(InputError, match="several columns are named 'a'"):
        frames.columns(SimulatedFrame(np.zeros((1, 2)), columns=["a", "a"]))
    with pytest.raises(TypeError, match=r"takes a cudf.DataFrame, not pandas.DataFrame"):
        frames.columns(frame())


@pytest.mark.sim
@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_in_the_simulator() -> None:
    run_simulated(__file__)
