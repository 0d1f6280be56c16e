"""Lines of rejected.jsonl: where a row came from, why it was rejected, and its source bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import orjson

from forge_gpu.fates import Reason, name
from forge_gpu.job.rows.rows import Rows
from forge_gpu.kernels.layout import I64, U8


def rejected_lines(
    rows: Rows, chosen: I64, reason: U8, file: str, first_row: int, first_line: int | None
) -> Iterator[bytes]:
    """One JSON line for each chosen row of a chunk; see `rejected_record`. reason: of all its rows."""
    for row in map(int, chosen):
        record = rejected_record(rows, row, reason[row], file, first_row, first_line)
        source = _source(rows, row)
        try:
            record["source"] = source.decode()
        except UnicodeDecodeError:
            record["source_base64"] = base64.b64encode(source).decode()
        yield orjson.dumps(record) + b"\n"


def rejected_record(
    rows: Rows, row: int, reason: int, file: str, first_row: int, first_line: int | None
) -> dict[str, object]:
    """Where a row of a chunk came from, and why it is rejected.

    first_row: the number in the file of the chunk's first row. first_line: the number of its first line,
    from 1, for JSON lines; None for other formats.
    """
    record: dict[str, object] = {"file": file, "row": first_row + rows.record_of(row)}
    if rows.parts is not None:
        part = int(rows.parts.number[row])
        record["part"] = part if part >= 0 else None
    if rows.chunk.form != "table":
        start = int(rows.records.start[row])
        if first_line is not None:
            record["line"] = first_line + rows.chunk.lines_before(start)
        record["offset"] = rows.chunk.offset + start
    record["reason"] = name(Reason(int(reason)))
    detail = rows.detail(row)
    if detail:
        record["detail"] = detail
    return record


def _source(rows: Rows, row: int) -> bytes:
    if rows.chunk.form == "table":
        record = rows.record_of(row)
        bad = rows.chunk.bad.get(record)
        return bad.source if bad else rows.chunk.source(record)
    start, length = rows.records.start[row], rows.records.length[row]
    if rows.chunk.truncated:
        length -= 1  # the mark that makes it too long is no byte of the source
    return rows.records.data[start : start + length].tobytes()
