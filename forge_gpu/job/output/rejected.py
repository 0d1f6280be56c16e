"""Lines of rejected.jsonl: where a row came from, why it was rejected, and its source bytes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import orjson

from forge_gpu.fates import Reason, name
from forge_gpu.job.rows.rows import Rows
from forge_gpu.kernels.layout import I64, U8

WHOLE_BYTES = 2**20
"""The source of a longer row is told by its head, its tail, its size and its hash."""
EDGE_BYTES = 2**12
SMALL_BYTES = 2**12
"""Text that is written as it is, whatever it takes."""


def rejected_lines(
    rows: Rows, chosen: I64, reason: U8, file: str, first_row: int, first_line: int | None
) -> Iterator[bytes]:
    """One JSON line for each chosen row of a chunk; see `rejected_record`. reason: of all its rows."""
    count = None if first_line is None else LineCounter(rows, first_line)
    for row in map(int, chosen):
        record = rejected_record(rows, row, reason[row], file, first_row, count)
        yield orjson.dumps(record | _source_fields(source_blocks(rows, row))) + b"\n"


class LineCounter:
    """The numbers of the lines that rows of a chunk begin in, asked for in their order: each byte is looked
    at once. first_line: the number of the chunk's first."""

    def __init__(self, rows: Rows, first_line: int) -> None:
        assert rows.chunk.form != "table"
        self._chunk, self._line, self._at = rows.chunk, first_line, 0

    def line(self, start: int) -> int:
        """That of a byte of the chunk, which is not before the one asked for last."""
        self._line += self._chunk.lines_between(self._at, start)
        self._at = start
        return self._line


def _source_fields(blocks: Iterator[bytes]) -> dict[str, object]:
    """The source of a row: whole, or of a long one where it begins and ends, its size and its hash."""
    source, size, digest, tail = b"", 0, hashlib.sha256(), b""
    for block in blocks:
        source += block[: max(WHOLE_BYTES + 1 - len(source), 0)]
        size += len(block)
        digest.update(block)
        tail = (tail + block[-EDGE_BYTES:])[-EDGE_BYTES:]
    if size <= WHOLE_BYTES:
        return _text("source", source)
    facts = {"source_bytes": size, "source_sha256": digest.hexdigest()}
    return _text("source_head", source[:EDGE_BYTES]) | _text("source_tail", tail) | facts


def _text(key: str, source: bytes) -> dict[str, object]:
    """Bytes of a row as text under a key; as base64 under another where they are no text, or where the text
    would take more in JSON, as control characters do."""
    encoded = base64.b64encode(source)
    try:
        text = source.decode()
    except UnicodeDecodeError:
        return {f"{key}_base64": encoded.decode()}
    if len(source) > SMALL_BYTES and len(orjson.dumps(text)) > 2 * len(encoded):
        return {f"{key}_base64": encoded.decode()}
    return {key: text}


def rejected_record(
    rows: Rows, row: int, reason: int, file: str, first_row: int, lines: LineCounter | None
) -> dict[str, object]:
    """Where a row of a chunk came from, and why it is rejected.

    first_row: the number in the file of the chunk's first row. lines: counts those of the chunk, for JSON
    lines; None for other formats.
    """
    record: dict[str, object] = {"file": file, "row": first_row + rows.record_of(row)}
    if rows.parts is not None:
        part = int(rows.parts.number[row])
        record["part"] = part if part >= 0 else None
    if rows.chunk.form != "table":
        start = int(rows.records.start[row])
        if lines is not None:
            record["line"] = lines.line(start)
        record["offset"] = rows.chunk.offset + start
    record["reason"] = name(Reason(int(reason)))
    detail = rows.detail(row, reason)
    if detail:
        record["detail"] = detail
    return record


def source_blocks(rows: Rows, row: int) -> Iterator[bytes]:
    """The bytes of a row as its file has them, in blocks."""
    chunk = rows.chunk
    if chunk.form == "table":
        record = rows.record_of(row)
        bad = chunk.bad.get(record)
        source = None if bad is None else bad.source
        yield chunk.source(record) if source is None else source
    elif chunk.whole is not None:
        yield from chunk.whole()
    else:
        yield rows.records.source(row)
