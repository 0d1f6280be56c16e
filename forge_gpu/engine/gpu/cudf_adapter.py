"""All that is bound to a version of cuDF (26.10): columns of text as device memory, and the other way;
Parquet that is decoded to such columns.

A column of text has its bytes in one buffer and, in a child column, int32 or int64 offsets to them; a slice
has an offset, which counts rows, into the same buffers. The bits of its mask are 1 where a row is not null.
Nothing of a text is copied to the host here, except by `to_host`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forge_gpu.engine.lazy import LazyText
from forge_gpu.errors import ForgeError
from forge_gpu.kernels.cuda.device import OVER_READ
from forge_gpu.kernels.layout import I64, U8, Text
from forge_gpu.plain import frozen

if TYPE_CHECKING:
    from forge_gpu.engine.gpu.pool import BudgetedPool

Bools = npt.NDArray[np.bool_]
Room = Callable[[int], Any]
"""Gives uint8 arrays of the device, with at least so many bytes and OVER_READ more."""

CODECS = {"UNCOMPRESSED": "NONE", "SNAPPY": "SNAPPY", "GZIP": "GZIP", "ZSTD": "ZSTD"}
"""Compressions of Parquet that cuDF is given, and its names for them: those that writers commonly choose. The
name LZ4 stands for two formats."""

NARROW = 2**31 - 1
"""Bytes of a column that int32 offsets reach."""

MASK_GRAIN = 64
"""Bytes that the size of a mask is a multiple of."""


@frozen
class TextBlock:
    """Some rows of a column of text.

    data: uint8[size] on the device, readable OVER_READ bytes behind its end. offsets: int64[n + 1], from 0,
    and valid: bool[n], None where no row is null; both on the host.
    """

    data: Any
    offsets: I64
    valid: Bools | None


@frozen
class ListBlock:
    """Some rows of a column of lists of records of texts: row r has records first[r] ... first[r + 1] - 1.

    first: int64[n + 1], from 0, and valid: bool[n], None where no row is null; both on the host. fields: the
    texts of all these records by name.
    """

    first: I64
    valid: Bools | None
    fields: Mapping[str, TextBlock]


class TextColumns:
    """Columns of strings of pylibcudf's (`plc`) as blocks. Copies are made on cupy's current stream."""

    def __init__(self, plc: Any, cupy: Any) -> None:
        self._plc, self._cupy = plc, cupy

    def is_text(self, column: Any) -> bool:
        return bool(column.type().id() == self._plc.TypeId.STRING)

    def block(self, column: Any, start: int, rows: int, room: Room, in_place: bool = True) -> TextBlock:
        """Rows start ... start + rows - 1. The bytes are those of the column itself where that is asked for
        and they may be read behind; else a copy, in memory from `room`."""
        first = column.offset() + start
        valid = self._valid(column, first, rows)
        offsets = self._offsets(column, first, rows)
        data = self._bytes(column.data(), int(offsets[0]), int(offsets[-1]), room, in_place)
        return TextBlock(data, offsets - offsets[0], valid)

    def list_block(
        self, column: Any, names: Sequence[str], start: int, rows: int, room: Room, in_place: bool = True
    ) -> ListBlock | None:
        """Rows start ... start + rows - 1 of lists of records with fields of these names; None where a field
        is no text, or a record is null. A slice of records is none of their fields: these begin before it."""
        if column.num_children() == 0:  # so it has no rows
            return None
        records = column.child(1)
        fields = [records.child(k) for k in range(records.num_children())]
        if len(fields) != len(names) or not all(map(self.is_text, fields)):
            return None
        first = column.offset() + start
        offsets = self._offsets(column, first, rows)
        begin, count = records.offset() + int(offsets[0]), int(offsets[-1] - offsets[0])
        if self._valid(records, begin, count) is not None:
            return None
        texts = {
            name: self.block(field, begin, count, room, in_place)
            for name, field in zip(names, fields, strict=True)
        }
        return ListBlock(offsets - offsets[0], self._valid(column, first, rows), texts)

    def array(self, buffer: Any, at: int, items: int, dtype: Any) -> Any:
        """Items of a buffer, which has `ptr` and `size`, from byte `at` on; it lives as long as they do."""
        cuda = self._cupy.cuda
        memory = cuda.UnownedMemory(buffer.ptr, buffer.size, buffer, cuda.runtime.getDevice())
        return self._cupy.ndarray(items, dtype, cuda.MemoryPointer(memory, at))

    def _valid(self, column: Any, first: int, rows: int) -> Bools | None:
        mask = column.null_mask()
        if mask is None or rows == 0:
            return None
        begin, end = first // 8, (first + rows + 7) // 8
        result = self._cupy.asnumpy(self.array(mask, begin, end - begin, np.uint8))
        valid = np.unpackbits(result, bitorder="little")[first % 8 : first % 8 + rows].astype(np.bool_)
        return None if valid.all() else valid

    def _offsets(self, column: Any, first: int, rows: int) -> I64:
        """int64[rows + 1], on the host."""
        if rows == 0 or column.num_children() == 0:  # a column without rows may have no offsets
            return np.zeros(rows + 1, np.int64)
        child = column.child(0)
        width = np.int32 if child.type().id() == self._plc.TypeId.INT32 else np.int64
        at = (child.offset() + first) * np.dtype(width).itemsize
        result: I64 = self._cupy.asnumpy(self.array(child.data(), at, rows + 1, width)).astype(np.int64)
        return result

    def _bytes(self, buffer: Any, low: int, high: int, room: Room, in_place: bool) -> Any:
        if high == low:
            return self._cupy.zeros(OVER_READ, np.uint8)[:0]
        data = self.array(buffer, low, high - low, np.uint8)
        if in_place and high + OVER_READ <= buffer.size:
            return data
        copy = room(high - low)[: high - low]
        copy[:] = data
        return copy


class CudfParquet:
    """Texts of Parquet, decoded by cuDF within the memory of a job's pool; for engines on its device.

    Everything is put on cupy's current stream, that of the engine which asks. cupy: as of CudfAdapter.
    """

    def __init__(self, pool: BudgetedPool, cupy: Any = None) -> None:
        self._pool = pool
        self._cupy = importlib.import_module("cupy") if cupy is None else cupy

    @cached_property
    def _plc(self) -> Any:
        """Imported when the first Parquet comes: it takes seconds."""
        return importlib.import_module("pylibcudf")

    def takes(self, codecs: Collection[str]) -> bool:
        """Whether cuDF decodes all these compressions, in the names of the format, on this device."""
        types, parquet = self._plc.io.types.CompressionType, self._plc.io.parquet
        return all(
            codec in CODECS and parquet.is_supported_read_parquet(types[CODECS[codec]]) for codec in codecs
        )

    def texts(
        self, content: Path | bytes, groups: Sequence[int], columns: Sequence[str], room: Room
    ) -> dict[str, TextBlock]:
        """Columns of strings of some row groups, by name. content: the file's path, or its bytes.

        Each column is copied to memory from `room`, behind which kernels may read, and cuDF's own is given
        back. Raises MemoryError where the pool is too small, RuntimeError where a column is missing or no
        text, and whatever cuDF raises.
        """
        texts = TextColumns(self._plc, self._cupy)
        table = self._table(content, groups, columns)
        blocks = {}
        for name in columns:
            column = table.pop(name, None)
            if column is None or not texts.is_text(column):
                raise RuntimeError(f"cuDF did not decode column {name!r} to text")
            blocks[name] = texts.block(column, 0, column.size(), room, in_place=False)
        return blocks

    def _table(self, content: Path | bytes, groups: Sequence[int], columns: Sequence[str]) -> dict[str, Any]:
        parquet = self._plc.io.parquet
        stream = importlib.import_module("rmm.pylibrmm.stream").Stream(self._cupy.cuda.get_current_stream())
        with self._pool.as_current():
            result = parquet.read_parquet(
                self._options(content, groups, columns), stream=stream, mr=self._pool.resource
            )
        return dict(zip(result.column_names(), result.columns, strict=True))

    def _options(self, content: Path | bytes, groups: Sequence[int], columns: Sequence[str]) -> Any:
        source = self._plc.io.types.SourceInfo([content])
        builder = self._plc.io.parquet.ParquetReaderOptions.builder(source)
        builder = builder.use_pandas_metadata(False)  # which adds columns that were not asked for
        options = builder.ignore_missing_columns(False).column_names(list(columns)).build()
        options.set_row_groups([list(groups)])
        return options


class CudfAdapter:
    """What `frames.cudf_frames.CudfFrames` asks of cuDF.

    Our work and cuDF's may be on different streams, so the device is waited for whenever one of them is to
    see what the other has written. cupy: the module, or what has its names over other memory.
    """

    def __init__(self, cupy: Any = None) -> None:
        import cudf
        import pylibcudf
        import rmm

        self._cudf, self._plc, self._rmm = cudf, pylibcudf, rmm
        self._cupy = importlib.import_module("cupy") if cupy is None else cupy
        self._columns = TextColumns(self._plc, self._cupy)

    def is_frame(self, frame: object) -> bool:
        return isinstance(frame, self._cudf.DataFrame)

    def frame(self, columns: Mapping[str, npt.NDArray[Any]], index: Any) -> Any:
        """A frame of arrays of the host."""
        return self._cudf.DataFrame(columns, index=index)

    def is_text(self, series: Any) -> bool:
        """Whether a series holds strings, and not their codes."""
        return self._columns.is_text(series._column.plc_column)

    def arrow_block(self, series: Any, start: int, stop: int) -> Any:
        """Rows start ... stop - 1 as an Arrow array, on the host."""
        return series.iloc[start:stop].to_arrow()

    def text_block(self, series: Any, start: int, stop: int) -> TextBlock:
        """Rows start ... stop - 1 of a series of strings.

        The bytes are those of the column itself, but for a block at the column's end, behind which nothing
        may be read, and for columns that cuDF may spill: those are copied, on the device.
        """
        self._settle()
        with series._column.access(mode="read", scope="internal") as held:
            in_place = not self._cudf.get_option("spill")
            block = self._columns.block(held.plc_column, start, stop - start, self._room, in_place)
            self._settle()
        return block

    def list_block(self, series: Any, start: int, stop: int) -> ListBlock | None:
        """Rows start ... stop - 1 of a series of lists of records of texts, as `text_block` gives texts; None
        of any other series, and where a record is null."""
        fields = getattr(getattr(series.dtype, "element_type", None), "fields", None)
        if not fields:
            return None
        self._settle()
        with series._column.access(mode="read", scope="internal") as held:
            in_place = not self._cudf.get_option("spill")
            column, rows = held.plc_column, stop - start
            block = self._columns.list_block(column, tuple(fields), start, rows, self._room, in_place)
            self._settle()
        return block

    def to_host(self, data: Any) -> U8:
        """Bytes of the device on the host."""
        result: U8 = self._cupy.asnumpy(data)
        return result

    def text_series(self, pieces: Iterable[tuple[Text, Bools]], name: str, index: Any) -> Any:
        """A series of strings: the rows of all pieces, null where not valid. Each is copied, on the device,
        into memory of cuDF's before the next is asked for."""
        columns = []
        for text, valid in pieces:
            column = self._text_column(text, valid)
            self._settle()
            columns.append(column.copy())
            self._settle()
        if len(columns) > 1:
            return self._series(self._plc.concatenate.concatenate(columns), name, index)
        if columns:
            return self._series(columns[0], name, index)
        import pyarrow as pa

        return self.arrow_series(pa.array([], pa.string()), name, index)

    def arrow_series(self, array: Any, name: str, index: Any) -> Any:
        """An Arrow array of the host as a series."""
        return self._series(self._plc.Column.from_arrow(array), name, index)

    def _series(self, column: Any, name: str, index: Any) -> Any:
        return self._cudf.Series.from_pylibcudf(column, {"name": name, "index": index})

    def _text_column(self, text: Text, valid: Bools) -> Any:
        """A column over the memory of a text, which has to live as long."""
        plc, cupy = self._plc, self._cupy
        low, high = int(text.offsets[0]), int(text.offsets[-1])
        data = text.source.data if isinstance(text, LazyText) else text.data
        data = cupy.asarray(data[low:high])
        kind, width = (plc.TypeId.INT32, np.int32) if high - low <= NARROW else (plc.TypeId.INT64, np.int64)
        offsets = cupy.asarray((text.offsets - low).astype(width))
        child = plc.Column(plc.DataType(kind), len(offsets), self._view(offsets), None, 0, 0, [])
        nulls = len(text) - int(valid.sum())
        mask = None if nulls == 0 else self._view(cupy.asarray(packed_mask(valid)))
        string = plc.DataType(plc.TypeId.STRING)
        return plc.Column(string, len(text), self._view(data), mask, nulls, 0, [child])

    def _view(self, array: Any) -> Any:
        return self._plc.gpumemoryview(array)

    def _room(self, size: int) -> Any:
        memory = self._rmm.DeviceBuffer(size=size + OVER_READ)
        return self._columns.array(memory, 0, size, np.uint8)

    def _settle(self) -> None:
        self._cupy.cuda.runtime.deviceSynchronize()


def frame_of_batch() -> Callable[[Any], Any]:
    """What makes a batch of Arrow a frame on the GPU. Raises ForgeError where cuDF cannot be imported."""
    try:
        cudf = importlib.import_module("cudf")
        pa = importlib.import_module("pyarrow")
    except ImportError as error:
        raise ForgeError(f"frames of cuDF need it: {error}; 'forge doctor' says what is missing") from None
    return lambda batch: cudf.DataFrame.from_arrow(pa.Table.from_batches([batch]))


def packed_mask(valid: Bools) -> U8:
    """The bits of a null mask, 1 where valid, in whole grains."""
    bits = np.packbits(valid, bitorder="little")
    mask = np.zeros(-(-len(bits) // MASK_GRAIN) * MASK_GRAIN, np.uint8)
    mask[: len(bits)] = bits
    return mask
