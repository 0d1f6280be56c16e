"""The index: what the first pass keeps of each row, one file a checkpoint range.

16 bytes of hash and 1 of reason a row; 8 more for a stratum, a time or a group where the plan asks for
them, and 8 a band and 16 for near-duplicates. No text: the second pass reads the input again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from forge_gpu.fates import Reason, name
from forge_gpu.job.state import arrays as stored
from forge_gpu.kernels.layout import I64, U8, U64

F64 = npt.NDArray[np.float64]

ROW_ARRAYS = ("reason", "hashes", "stratum", "time", "group", "text_bytes", "score")
"""Arrays with an item a row."""


PART_BYTES = 2**20
"""A part of JSON has so many bytes at least, but for the last of a range: small chunks share one."""


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a range, which the second pass writes by one task: what a chunk of the first held.

    begin: as in `io.chunks.Range`; a row begins there. rows, lines, bytes: how many, lines being physical
    lines of JSON lines. digest: of the bytes of the source's rows, to notice a source that changes between
    the passes.
    """

    begin: int
    rows: int
    lines: int
    bytes: int
    digest: int

    def with_next(self, part: Part) -> Part:
        """This part and the one behind it as one."""
        return Part(
            self.begin,
            self.rows + part.rows,
            self.lines + part.lines,
            self.bytes + part.bytes,
            (self.digest + part.digest) % 2**64,
        )


@dataclass(frozen=True, slots=True)
class RangeFacts:
    """What the index says of a range as a whole.

    parts: in order, all rows in one of them. warned: rows a check warned of. kinds: for each kept column the
    kinds of span seen, a bit each. ways: rows by the way their template was run.
    """

    parts: tuple[Part, ...]
    warned: dict[Reason, int]
    kinds: dict[str, int]
    ways: dict[str, int]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def lines(self) -> int:
        """Physical lines of JSON lines."""
        return sum(part.lines for part in self.parts)

    @property
    def bytes(self) -> int:
        """Bytes of input."""
        return sum(part.bytes for part in self.parts)

    @property
    def digest(self) -> int:
        """Of the bytes of the source's rows."""
        return sum(part.digest for part in self.parts) % 2**64


@dataclass(slots=True)
class ChunkIndex:
    """One chunk's, or one range's, part of the index.

    reason: uint8[n]. hashes: uint64[n, 2], zero where reason is not 0. None where the plan has no use for it:
    stratum: uint64[n]; time: int64[n], nanoseconds; group: uint64[n], 0 where the row has none; bands:
    uint64[bands, n], band hashes of the compared text; text_bytes: int64[n], its size; score: float64[n], by
    which one of a cluster is kept, NaN where the row has none. matched: int64[m, 3], (row, evaluation row by
    the n-gram rule, by the MinHash rule), -1 where that rule finds none, for rows that are contaminated;
    similarity: float64[m]. The others as in RangeFacts.
    """

    reason: U8
    hashes: U64
    stratum: U64 | None
    time: I64 | None
    parts: tuple[Part, ...]
    warned: dict[Reason, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    ways: dict[str, int] = field(default_factory=dict)
    group: U64 | None = None
    bands: U64 | None = None
    text_bytes: I64 | None = None
    score: F64 | None = None
    matched: I64 | None = None
    similarity: F64 | None = None

    @property
    def rows(self) -> int:
        return len(self.reason)

    @property
    def facts(self) -> RangeFacts:
        return RangeFacts(self.parts, self.warned, self.kinds, self.ways)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        names = (*ROW_ARRAYS, "bands", "matched", "similarity")
        arrays = [getattr(self, key) for key in names]
        return sum(array.nbytes for array in arrays if array is not None)


def join(chunks: Sequence[ChunkIndex], in_parts: bool = False) -> ChunkIndex:
    """The chunks of a range, in order, as one. in_parts: whether the range can be read from each on."""
    warned: dict[Reason, int] = {}
    kinds: dict[str, int] = {}
    ways: Counter[str] = Counter()
    for chunk in chunks:
        for reason, count in chunk.warned.items():
            warned[reason] = warned.get(reason, 0) + count
        ways.update(chunk.ways)
        for column, bits in chunk.kinds.items():
            kinds[column] = kinds.get(column, 0) | bits
    return ChunkIndex(
        reason=np.concatenate([chunk.reason for chunk in chunks] or [np.zeros(0, np.uint8)]),
        hashes=np.concatenate([chunk.hashes for chunk in chunks] or [np.zeros((0, 2), np.uint64)]),
        stratum=_joined([chunk.stratum for chunk in chunks]),
        time=_joined([chunk.time for chunk in chunks]),
        parts=_joined_parts([part for chunk in chunks for part in chunk.parts], in_parts),
        warned=warned,
        kinds=kinds,
        ways=dict(ways),
        group=_joined([chunk.group for chunk in chunks]),
        bands=_joined([chunk.bands for chunk in chunks], axis=1),
        text_bytes=_joined([chunk.text_bytes for chunk in chunks]),
        score=_joined([chunk.score for chunk in chunks]),
        matched=_joined(_moved(chunks)),
        similarity=_joined([chunk.similarity for chunk in chunks]),
    )


def _joined_parts(parts: Sequence[Part], in_parts: bool) -> tuple[Part, ...]:
    """The parts of the chunks of a range; what is behind a small one goes with it."""
    joined: list[Part] = []
    for part in parts:
        if joined and (joined[-1].bytes < PART_BYTES or not in_parts):
            joined[-1] = joined[-1].with_next(part)
        else:
            joined.append(part)
    return tuple(joined)


def _moved(chunks: Sequence[ChunkIndex]) -> list[I64 | None]:
    """The matches of each chunk, with row numbers of the whole."""
    starts = np.cumsum([0, *(chunk.rows for chunk in chunks)])
    return [
        None if chunk.matched is None else chunk.matched + np.array([start, 0, 0])
        for chunk, start in zip(chunks, starts, strict=False)
    ]


def cut(part: ChunkIndex, rows: int) -> ChunkIndex:
    """The first `rows` rows of a range's index. Counters of what was read, but rows, stay as they are."""
    if rows >= part.rows:
        return part
    arrays: dict[str, Any] = {"parts": _cut_parts(part.parts, rows)}
    for key in ROW_ARRAYS:
        array = getattr(part, key)
        arrays[key] = None if array is None else array[:rows]
    arrays["bands"] = None if part.bands is None else part.bands[:, :rows]
    if part.matched is not None and part.similarity is not None:
        kept = part.matched[:, 0] < rows
        arrays |= {"matched": part.matched[kept], "similarity": part.similarity[kept]}
    return replace(part, **arrays)


def _cut_parts(parts: Sequence[Part], rows: int) -> tuple[Part, ...]:
    kept = []
    for part in parts:
        kept.append(replace(part, rows=min(part.rows, rows)))
        rows -= kept[-1].rows
    return tuple(kept)


def _joined(arrays: Sequence[np.ndarray | None], axis: int = 0) -> np.ndarray | None:
    present = [array for array in arrays if array is not None]
    return np.concatenate(present, axis) if present else None


def write(path: Path, index: ChunkIndex) -> None:
    """Write a range's index; the file appears whole or not at all. Each band is a member of its own."""
    warned = {name(why): count for why, count in index.warned.items()}
    facts = {"parts": index.parts, "warned": warned, "kinds": index.kinds, "ways": index.ways}
    arrays: dict[str, Any] = {"facts": np.frombuffer(orjson.dumps(facts), np.uint8)}
    arrays |= {key: getattr(index, key) for key in (*ROW_ARRAYS, "matched", "similarity")}
    for number, band in enumerate(index.bands if index.bands is not None else ()):
        arrays[band_name(number)] = band
    stored.write(path, {key: array for key, array in arrays.items() if array is not None})


def band_name(number: int) -> str:
    """The array of one band in an index file."""
    return f"band_{number:03d}"


def read_facts(path: Path) -> RangeFacts:
    """What a range's index says of the whole of it; a few kilobytes at most are read."""
    facts = orjson.loads(stored.read(path, ("facts",))["facts"].tobytes())
    warned = {Reason[key.upper()]: count for key, count in facts.pop("warned").items()}
    parts = tuple(Part(**part) for part in facts.pop("parts"))
    return RangeFacts(**facts, warned=warned, parts=parts)


def read_arrays(path: Path, keys: Collection[str]) -> dict[str, np.ndarray]:
    """Those of the wanted arrays that a range's index has; one without rows may have none."""
    return stored.read(path, keys)
