"""The adapter on cuDF's own columns, without a GPU: host memory stands where the device's does.

No function of cuDF that needs a driver is called, so this runs wherever cuDF is installed.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forge_gpu.engine.choose import EngineFactory
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.gpu.cudf_adapter import CudfAdapter, CudfParquet, packed_mask
from forge_gpu.engine.lazy import LazyText
from forge_gpu.frames.cudf_frames import CudfFrames
from forge_gpu.frames.engine import FrameEngine
from forge_gpu.io.to_arrow import text_to_arrow
from forge_gpu.kernels.layout import Text
from tests.engine.host_cupy import Buffer, cupy, on_device

CUDF_IS_MISSING = "cuDF is not installed: pip install 'forge-gpu[cu13]'"


@pytest.fixture(scope="module")
def adapter() -> CudfAdapter:
    pytest.importorskip("cudf", reason=CUDF_IS_MISSING)
    made = CudfAdapter(cupy)
    made._rmm = SimpleNamespace(DeviceBuffer=Buffer)
    return made


def series(
    adapter: CudfAdapter, values: list[str | None], width: Any, offset: int = 0, spare: int = 16
) -> Any:
    """A series over host memory: rows from `offset` on of a longer column, with `spare` bytes behind."""
    import cudf
    import pylibcudf as plc

    encoded = [(value or "").encode() for value in values]
    data = on_device(np.frombuffer(b"".join(encoded) + bytes(spare), np.uint8))
    offsets = on_device(np.concatenate([[0], np.cumsum([len(value) for value in encoded])]).astype(width))
    kind = plc.TypeId.INT32 if width is np.int32 else plc.TypeId.INT64
    child = plc.Column(plc.DataType(kind), len(offsets), plc.gpumemoryview(offsets), None, 0, 0, [])
    valid = np.array([value is not None for value in values])
    mask = None if valid.all() else plc.gpumemoryview(on_device(packed_mask(valid)))
    nulls = int((~valid[offset:]).sum())
    string = plc.DataType(plc.TypeId.STRING)
    column = plc.Column(string, len(values) - offset, plc.gpumemoryview(data), mask, nulls, offset, [child])
    return cudf.Series.from_pylibcudf(column)


VALUES = ["a", None, "", "två", "x" * 50, None, "中", "end", "", "\0"]


def rows(block: Any) -> list[str | None]:
    result = [
        bytes(block.data[a:b]).decode() for a, b in zip(block.offsets[:-1], block.offsets[1:], strict=True)
    ]
    valid = [True] * len(result) if block.valid is None else block.valid
    return [text if there else None for text, there in zip(result, valid, strict=True)]


@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_blocks_of_columns_with_offsets_and_nulls(adapter: CudfAdapter, width: Any, offset: int) -> None:
    made = series(adapter, VALUES, width, offset)
    assert adapter.is_text(made)
    left = len(VALUES) - offset
    for start, stop in ((0, left), (1, left - 1), (2, 2), (left - 1, left), (0, 1)):
        assert rows(adapter.text_block(made, start, stop)) == VALUES[offset:][start:stop]
    assert adapter.text_block(series(adapter, ["a", "b"], width), 0, 2).valid is None


def test_bytes_are_the_columns_own_where_they_may_be_read_behind(adapter: CudfAdapter) -> None:
    made = series(adapter, ["abc", "de"], np.int32)
    column = made._column.plc_column.data()
    assert adapter.text_block(made, 1, 2).data.ctypes.data == column.ptr + 3
    made = series(adapter, ["abc", "de"], np.int32, spare=15)
    column = made._column.plc_column.data()
    assert adapter.text_block(made, 0, 1).data.ctypes.data == column.ptr
    block = adapter.text_block(made, 0, 2)
    assert rows(block) == ["abc", "de"] and block.data.ctypes.data != column.ptr


TURNS = [("user", "a"), ("assistant", None), ("", "två"), ("x" * 40, "中"), ("user", ""), ("end", "z" * 30)]
ENDS = [0, 2, 2, 5, 6]
"""Of four lists over the turns; the second has none, the third is null."""


def list_series(adapter: CudfAdapter, offset: int, skipped: int, null_record: bool = False) -> Any:
    """Lists from `offset` on, of records that are a slice: before it lie `skipped` values of each field."""
    import cudf
    import pylibcudf as plc

    turns = [("before", "before")] * skipped + TURNS
    fields = [
        series(adapter, list(values), np.int32)._column.plc_column for values in zip(*turns, strict=True)
    ]
    mask = plc.gpumemoryview(on_device(packed_mask(np.arange(len(turns)) != skipped + 1)))
    null = (mask, 1) if null_record else (None, 0)
    records = plc.Column(plc.DataType(plc.TypeId.STRUCT), len(TURNS), None, *null, skipped, fields)
    edges = on_device(np.array(ENDS, np.int32))
    of_lists = plc.Column(plc.DataType(plc.TypeId.INT32), len(ENDS), plc.gpumemoryview(edges), None, 0, 0, [])
    valid = plc.gpumemoryview(on_device(packed_mask(np.array([True, True, False, True]))))
    lists = plc.DataType(plc.TypeId.LIST)
    size = len(ENDS) - 1 - offset
    return cudf.Series.from_pylibcudf(plc.Column(lists, size, None, valid, 1, offset, [of_lists, records]))


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("skipped", [0, 3])
def test_lists_of_records_are_read_in_place(adapter: CudfAdapter, offset: int, skipped: int) -> None:
    made = list_series(adapter, offset, skipped)
    valid, ends = [True, True, False, True][offset:], ENDS[offset:]
    for start, stop in ((0, len(valid)), (1, len(valid)), (0, 1), (1, 1)):
        block = adapter.list_block(made, start, stop)
        assert block is not None
        low, high = ends[start], ends[stop]
        assert block.first.tolist() == [end - low for end in ends[start : stop + 1]]
        there = np.ones(stop - start, np.bool_) if block.valid is None else block.valid
        assert there.tolist() == valid[start:stop]
        assert [rows(texts) for texts in block.fields.values()] == [
            list(values) for values in zip(*TURNS[low:high], strict=True)
        ] or low == high


def test_lists_that_are_not_of_whole_records_of_texts(adapter: CudfAdapter) -> None:
    import cudf
    import pylibcudf as plc

    assert adapter.list_block(series(adapter, VALUES, np.int32), 0, 3) is None
    assert adapter.list_block(list_series(adapter, 0, 2, null_record=True), 0, 4) is None
    made = list_series(adapter, 0, 0)._column.plc_column
    of_texts = plc.Column(made.type(), 4, None, None, 0, 0, [made.child(0), made.child(1).child(0)])
    assert adapter.list_block(cudf.Series.from_pylibcudf(of_texts), 0, 4) is None


def test_an_empty_column_has_no_offsets(adapter: CudfAdapter) -> None:
    import cudf
    import pylibcudf as plc

    empty = cudf.Series.from_pylibcudf(plc.Column(plc.DataType(plc.TypeId.STRING), 0, None, None, 0, 0, []))
    block = adapter.text_block(empty, 0, 0)
    assert block.offsets.tolist() == [0] and len(block.data) == 0


@pytest.mark.parametrize("lazy", [False, True])
def test_texts_become_columns_over_their_own_memory(adapter: CudfAdapter, lazy: bool) -> None:
    data = on_device(np.frombuffer(b"??abcdef" + bytes(64), np.uint8))
    text = Text(data, np.array([2, 4, 4, 8]))
    if lazy:
        text = LazyText(
            text.offsets, Text(data, text.offsets), lambda: pytest.fail("the bytes were asked for")
        )
    valid = np.array([True, False, True])
    column = adapter._text_column(text, valid)
    assert column.data().ptr == data.ctypes.data + 2
    assert (column.size(), column.null_count(), column.offset()) == (3, 1, 0)
    made = adapter._series(column, "text", None)
    assert made.name == "text" and str(made.dtype) == "str"
    expected = text_to_arrow(Text(data, np.array([2, 4, 4, 8])), valid).to_pylist()
    assert rows(adapter.text_block(made, 0, 3)) == expected == ["ab", None, "cdef"]


def test_a_frame_of_cudf_goes_through_an_engine(
    adapter: CudfAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cudf

    query = series(adapter, ["a", None, "två", "a"], np.int32)._column
    response = series(adapter, ["x", "y", "z", "x"], np.int64)._column
    index = cudf.RangeIndex(4)
    frame = cudf.DataFrame._from_data({"query": query, "response": response}, index=index)
    # What makes columns of device memory calls cuDF's functions; here the pieces are looked at instead.
    monkeypatch.setattr(adapter, "text_series", lambda pieces, name, index: [*map(listed, pieces)])
    monkeypatch.setattr(adapter, "arrow_series", lambda array, name, index: array.to_pylist())
    monkeypatch.setattr(adapter, "frame", lambda columns, index: columns)
    engine: FrameEngine[Any, Any] = FrameEngine(
        EngineFactory("cpu", "a test", lambda factory: CpuEngine()), CudfFrames(adapter)
    )
    assert engine.render(frame, "{query}|{response}") == [["a|x", None, "två|z", "a|x"]]
    assert engine.duplicate_of(frame) == [None, None, None, 0]
    assert engine.check(frame, ["query"])["malformed"].tolist() == [False, True, False, False]


def listed(piece: tuple[Text, Any]) -> list[str | None]:
    text, valid = piece
    return [text.row(i).decode() if valid[i] else None for i in range(len(text))]


def test_what_else_is_called_has_the_parameters_that_it_is_given() -> None:
    cudf = pytest.importorskip("cudf", reason=CUDF_IS_MISSING)
    import cupy
    import pylibcudf
    import rmm
    import rmm.mr
    from numba import cuda
    from rmm.pylibrmm.stream import Stream

    assert {"mode", "kwargs"} <= set(inspect.signature(type(_buffer()).access).parameters)
    assert "index" in inspect.signature(cudf.DataFrame).parameters
    assert callable(cudf.DataFrame.take) and callable(cudf.Series.to_arrow)
    assert callable(pylibcudf.Column.from_arrow) and callable(pylibcudf.Column.copy)
    assert callable(pylibcudf.concatenate.concatenate) and callable(cuda.external_stream)
    assert cudf.get_option("spill") in (True, False)
    for name in ("memcpyAsync", "memcpyHostToDevice", "memcpyDeviceToHost", "deviceSynchronize", "getDevice"):
        assert hasattr(cupy.cuda.runtime, name)
    for name in (
        "Stream",
        "Event",
        "UnownedMemory",
        "MemoryPointer",
        "using_allocator",
        "get_current_stream",
    ):
        assert hasattr(cupy.cuda, name)
    assert hasattr(rmm, "DeviceBuffer") and hasattr(rmm.mr, "StatisticsResourceAdaptor") and Stream


def _buffer() -> Any:
    from cudf.core.buffer import as_buffer

    return as_buffer(on_device(np.zeros(8, np.uint8)))


class Stream:
    """A stream of the device, by CUDA's protocol."""

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, 0


class Pool:
    """A pool that says whether it is the current resource."""

    resource = None
    inside = False

    @contextmanager
    def as_current(self) -> Iterator[None]:
        self.inside = True
        yield
        self.inside = False


def parquet_bytes(**options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": ["x", None], "b": ["y", "z"], "n": [1, 2]}), sink, **options)
    return sink.getvalue()


@pytest.fixture
def parquet(monkeypatch: pytest.MonkeyPatch) -> tuple[CudfParquet, Pool]:
    pytest.importorskip("pylibcudf", reason=CUDF_IS_MISSING)
    monkeypatch.setattr(cupy.cuda, "get_current_stream", Stream, raising=False)
    pool: Any = Pool()
    return CudfParquet(pool, cupy), pool


def plc_column(adapter: CudfAdapter, values: list[str | None], width: Any) -> Any:
    return series(adapter, values, width, spare=0)._column.plc_column


def room(size: int) -> Any:
    return on_device(np.full(size + 16, 0xEE, np.uint8))


def test_parquet_is_decoded_within_the_pool_to_copies_of_its_columns(
    adapter: CudfAdapter, parquet: tuple[CudfParquet, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pylibcudf as plc

    columns = [plc_column(adapter, VALUES, np.int32), plc_column(adapter, ["b"] * len(VALUES), np.int64)]
    asked: list[Any] = []

    def read(options: Any, stream: Any, mr: Any) -> Any:
        asked.append((type(options), stream.__cuda_stream__(), mr, parquet[1].inside))
        return plc.io.types.TableWithMetadata(plc.Table(columns), [("b", []), ("a", [])][::-1])

    monkeypatch.setattr(plc.io.parquet, "read_parquet", read)
    blocks = parquet[0].texts(parquet_bytes(), [0], ["a", "b"], room)
    assert asked == [(plc.io.parquet.ParquetReaderOptions, (0, 0), Pool.resource, True)]
    assert rows(blocks["a"]) == VALUES and rows(blocks["b"]) == ["b"] * len(VALUES)
    for block, column in zip(blocks.values(), columns, strict=True):
        assert block.data.ctypes.data != column.data().ptr
    for required in (["a", "c"], ["n"]):
        with pytest.raises(RuntimeError, match="did not decode column"):
            parquet[0].texts(parquet_bytes(), [0], required, room)


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
def test_compressions_are_known_by_the_names_of_the_format(
    parquet: tuple[CudfParquet, Pool], codec: str
) -> None:
    name = (
        pq.ParquetFile(io.BytesIO(parquet_bytes(compression=codec)))
        .metadata.row_group(0)
        .column(0)
        .compression
    )
    assert parquet[0].takes({name}) is (codec not in ("brotli", "lz4"))
    assert not parquet[0].takes({name, "LZO"}) and parquet[0].takes(set())


def test_a_file_of_its_own_can_be_named(parquet: tuple[CudfParquet, Pool], tmp_path: Path) -> None:
    (tmp_path / "in.parquet").write_bytes(parquet_bytes())
    assert parquet[0]._options(tmp_path / "in.parquet", [0, 2], ["a"]) is not None
    with pytest.raises(FileNotFoundError):
        parquet[0]._options(tmp_path / "gone.parquet", [0], ["a"])


def test_the_reader_of_parquet_takes_a_stream_and_a_resource() -> None:
    plc = pytest.importorskip("pylibcudf", reason=CUDF_IS_MISSING)
    import rmm.mr

    reported = plc.io.parquet.read_parquet.__doc__.partition("->")[0]
    assert "stream" in reported and "DeviceMemoryResource mr" in reported
    for name in ("get_per_device_resource", "set_per_device_resource"):
        assert callable(getattr(rmm.mr, name))
    assert issubclass(rmm.mr.StatisticsResourceAdaptor, rmm.mr.DeviceMemoryResource)
    assert callable(plc.io.types.TableWithMetadata.column_names) and hasattr(
        plc.io.types.TableWithMetadata, "columns"
    )
