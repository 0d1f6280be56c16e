"""The index: what the first pass keeps of each row, one file a checkpoint range.

16 bytes of hash and 1 of reason a row, 8 more for a stratum and 8 for a time where the plan asks for
them. No text: the second pass reads the input again.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from forge_gpu.fates import Reason, name
from forge_gpu.io.atomic import write_atomic
from forge_gpu.kernels.layout import I64, U8, U64


@dataclass(slots=True)
class ChunkIndex:
    """One chunk's, or one range's, part of the index.

    reason: uint8[n]. hashes: uint64[n, 2], zero where reason is not 0. stratum: uint64[n]; time:
    int64[n], nanoseconds; None where the plan does not need them. lines: physical lines of a JSON lines
    chunk. warned: rows a check warned of. kinds: for each kept column the kinds of span seen, a bit each.
    sample: a digest of some of the source rows, to notice a source that changes between the passes.
    """

    reason: U8
    hashes: U64
    stratum: U64 | None
    time: I64 | None
    lines: int
    bytes: int
    characters: int
    sample: int
    warned: dict[Reason, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.reason)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        arrays = (self.reason, self.hashes, self.stratum, self.time)
        return sum(array.nbytes for array in arrays if array is not None)


def join(parts: Sequence[ChunkIndex]) -> ChunkIndex:
    """The chunks of a range, in order, as one."""
    warned: dict[Reason, int] = {}
    kinds: dict[str, int] = {}
    for part in parts:
        for reason, count in part.warned.items():
            warned[reason] = warned.get(reason, 0) + count
        for column, bits in part.kinds.items():
            kinds[column] = kinds.get(column, 0) | bits
    return ChunkIndex(
        reason=np.concatenate([part.reason for part in parts] or [np.zeros(0, np.uint8)]),
        hashes=np.concatenate([part.hashes for part in parts] or [np.zeros((0, 2), np.uint64)]),
        stratum=_joined([part.stratum for part in parts]),
        time=_joined([part.time for part in parts]),
        lines=sum(part.lines for part in parts),
        bytes=sum(part.bytes for part in parts),
        characters=sum(part.characters for part in parts),
        sample=sum(part.sample for part in parts) % 2**64,
        warned=warned,
        kinds=kinds,
    )


def cut(part: ChunkIndex, rows: int) -> ChunkIndex:
    """The first `rows` rows of a range's index. Counters of what was read stay as they are."""
    if rows >= part.rows:
        return part
    return replace(
        part,
        reason=part.reason[:rows],
        hashes=part.hashes[:rows],
        stratum=None if part.stratum is None else part.stratum[:rows],
        time=None if part.time is None else part.time[:rows],
    )


def _joined(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if present else None


def write(path: Path, index: ChunkIndex) -> None:
    """Write a range's index; the file appears whole or not at all."""
    facts = {
        "rows": index.rows,
        "lines": index.lines,
        "bytes": index.bytes,
        "characters": index.characters,
        "sample": index.sample,
        "warned": {name(reason): count for reason, count in index.warned.items()},
        "kinds": index.kinds,
    }
    arrays: dict[str, Any] = {
        "facts": np.frombuffer(orjson.dumps(facts), np.uint8),
        "reason": index.reason,
        "hashes": index.hashes,
        "stratum": index.stratum,
        "time": index.time,
    }
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **{key: array for key, array in arrays.items() if array is not None})
    write_atomic(path, sink.getvalue())


def read(path: Path) -> ChunkIndex:
    """Read a range's index."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    facts = orjson.loads(arrays["facts"].tobytes())
    return ChunkIndex(
        reason=arrays["reason"],
        hashes=arrays["hashes"],
        stratum=arrays.get("stratum"),
        time=arrays.get("time"),
        lines=facts["lines"],
        bytes=facts["bytes"],
        characters=facts["characters"],
        sample=facts["sample"],
        warned={Reason[key.upper()]: count for key, count in facts["warned"].items()},
        kinds=facts["kinds"],
    )


def rows_of(path: Path) -> int:
    """How many rows a range's index has."""
    with np.load(path, allow_pickle=False) as file:
        rows: int = orjson.loads(file["facts"].tobytes())["rows"]
    return rows
