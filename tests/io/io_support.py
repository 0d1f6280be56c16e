"""What the tests of io share: files to read, and rows of a source by another reader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forge_gpu.io.chunks import ArrowChunk, JsonChunk, ReadBuffer, Source
from forge_gpu.io.inputs import InputFile, resolve
from forge_gpu.io.sources import open_source
from forge_gpu.io.spool import Spool

RECORDS = [
    {"query": "héllo", "response": 'a "b" \\ c'},
    {"query": "two\nlines, and a comma", "response": "]},{["},
    {"query": "日本語 𝄞", "response": ""},
    {"query": "x" * 300, "response": "\t"},
    {"query": "", "response": "last"},
]


def as_lines(records: Sequence[Any], end: str = "\n") -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + end for record in records).encode()


def put(folder: Path, name: str, data: bytes) -> InputFile:
    path = folder / name
    path.write_bytes(data)
    return resolve([str(path)])[0]


def opened(file: InputFile, folder: Path, **options: Any) -> Source:
    memory = options.pop("memory", 2**20)
    return open_source(file, spool=Spool(folder / "spool", memory), **options)


def rows_of(source: Source, chunk_bytes: int = 2**20) -> list[Any]:
    """All rows: JSON values, dicts of texts, a BadRow, or "too long"."""
    rows: list[Any] = []
    buffer = ReadBuffer()
    for part in source.ranges:
        for chunk in source.read(part, chunk_bytes, buffer):
            rows += json_rows(chunk) if isinstance(chunk, JsonChunk) else arrow_rows(chunk)
    return rows


def json_rows(chunk: JsonChunk) -> list[Any]:
    text = chunk.data.tobytes()
    if chunk.truncated:
        return [("too long", text)]
    if chunk.form == "lines":
        return [json.loads(line) for line in text.split(b"\n") if line.strip()]
    body = text.strip()
    return list(json.loads(b"[" + body.removesuffix(b",") + b"]"))


def arrow_rows(chunk: ArrowChunk) -> list[Any]:
    def plain(value: Any) -> Any:
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value

    rows: list[Any] = [{key: plain(value) for key, value in row.items()} for row in chunk.batch.to_pylist()]
    for i, bad in chunk.bad.items():
        rows[i] = bad
    return rows
