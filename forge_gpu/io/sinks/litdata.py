"""LitData's chunks, as its `StreamingDataset` reads them: a line is a mapping of arrays of int32."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from forge_gpu.io.sinks.framed import COLUMNS, Framing, Shard, framed

ARRAY_OF_INT32 = "no_header_numpy:2"
_TREE = {
    "type": "builtins.dict",
    "context": json.dumps(COLUMNS),
    "children_spec": [{"type": None, "context": None, "children_spec": []}] * len(COLUMNS),
}


def _index(shards: Sequence[Shard], digest: str) -> Mapping[str, Any]:
    """The digest stands where LitData has a time: by it a copy in a cache is known to be of this folder."""
    chunks = [
        {"chunk_bytes": shard.bytes, "chunk_size": shard.rows, "dim": None, "filename": shard.name}
        for shard in shards
    ]
    config = {
        "chunk_bytes": None,
        "chunk_size": max(shard.rows for shard in shards),
        "compression": None,
        "data_format": [ARRAY_OF_INT32] * len(COLUMNS),
        "data_spec": json.dumps([1, _TREE]),
        "encryption": None,
        "item_loader": "PyTreeLoader",
    }
    return {"chunks": chunks, "config": config, "updated_at": digest}


def _name(shard: int) -> str:
    return f"chunk-0-{shard}.bin"


FORMAT = framed(Framing(".bin", _name, _index))
