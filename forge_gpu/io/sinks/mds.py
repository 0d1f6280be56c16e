"""MDS, the shards of MosaicML's Streaming, which `StreamingDataset` and LitData read: a column is an array of
int32, its number of axes and its length before its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from forge_gpu.io.sinks.framed import COLUMNS, Framing, Shard, framed

ONE_AXIS = 1 << 2
"""In the byte before a length; its lowest two bits say how many bytes the length has: 1, 2 or 4."""

_CONFIG: dict[str, Any] = {
    "column_encodings": ["ndarray:int32"] * len(COLUMNS),
    "column_names": list(COLUMNS),
    "column_sizes": [None] * len(COLUMNS),
    "compression": None,
    "format": "mds",
    "hashes": [],
    "size_limit": None,
    "version": 2,
}


def _before(count: int) -> bytes:
    width = 0 if count < 2**8 else 1 if count < 2**16 else 2
    return bytes([ONE_AXIS | width]) + count.to_bytes(1 << width, "little")


def _numbers(column: memoryview) -> memoryview:
    return column[1 + (1 << (column[0] & 3)) :]


def _index(shards: Sequence[Shard], digest: str) -> Mapping[str, Any]:
    return {"shards": [_CONFIG | _files(shard) for shard in shards], "version": 2}


def _files(shard: Shard) -> dict[str, Any]:
    raw = {"basename": shard.name, "bytes": shard.bytes, "hashes": {}}
    return {"raw_data": raw, "samples": shard.rows, "zip_data": None}


def _name(shard: int) -> str:
    return f"shard.{shard:05d}.mds"


FORMAT = framed(
    Framing(".mds", _name, _index, orjson.dumps(_CONFIG, option=orjson.OPT_SORT_KEYS), _before, _numbers)
)
