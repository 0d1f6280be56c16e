"""Parquet with columns of every kind, and jobs from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from forge_gpu.config.schema import Config
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.output.result import Result
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec
from tests.job import jobs

MESSAGES = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
GROUPS = (7, 0, 4, 5, 1, 0, 8)
"""Rows of the row groups."""


def texts(values: list[bytes | None], kind: pa.DataType) -> pa.Array:
    """A column of text whose bytes need not be UTF-8."""
    wide = kind == pa.large_string()
    return pa.array(values, pa.large_binary() if wide else pa.binary()).view(kind)


def table(rows: int) -> pa.Table:
    """Texts with nulls, empty ones, repetitions and bytes that are not UTF-8; a long row; other kinds."""
    questions: list[bytes | None] = [b"q%d" % (i % 9) for i in range(rows)]
    answers: list[bytes | None] = [b'say "%d"\n' % (i % 9) * (i % 4 + 1) for i in range(rows)]
    notes: list[bytes | None] = [None if i % 3 else "é".encode() * (i % 5) for i in range(rows)]
    answers[2::11] = [None] * len(answers[2::11])
    answers[3::13] = [b"\xff\xfe no text"] * len(answers[3::13])
    notes[5 % rows] = b"l" * 300
    chats = [
        [{"role": "user", "content": f"hé {i % 7}"}, {"role": "assistant", "content": "x" * (i % 7 + 1)}]
        for i in range(rows)
    ]
    return pa.table(
        {
            "instruction": texts(questions, pa.string()),
            "score": pa.array([None if i % 5 == 0 else i / 4 for i in range(rows)]),
            "output": texts(answers, pa.large_string()),
            "kind": pa.array(["ab"[i % 2] for i in range(rows)]).dictionary_encode(),
            "chat": pa.array(chats, MESSAGES),
            "input": texts(notes, pa.string()),
            "a.b": pa.array([f"dot {i}" for i in range(rows)]),
            "raw": pa.array([b"bytes"] * rows),
        }
    )


def write(path: Path, whole: pa.Table, groups: tuple[int, ...] = GROUPS, **options: Any) -> Path:
    """A file with row groups of so many rows."""
    first = 0
    with pq.ParquetWriter(path, whole.schema, **options) as writer:
        for rows in groups:
            writer.write_table(whole.slice(first, rows))
            first += rows
    assert first == len(whole)
    return path


FLAT: dict[str, dict[str, Any]] = {
    "output": {"columns": ["score", "kind", "chat", "input", "absent"]},
    "preprocessing": {"split": {"stratify": "kind"}},
}
CHAT: dict[str, dict[str, Any]] = {
    "data": {"mapping": {"shape": "conversation", "messages": "chat"}},
    "output": {"columns": ["input", "a.b"]},
}
SOURCE: dict[str, dict[str, Any]] = {
    "output": {"form": "source"},
    "model": {"chat_template": None, "template_kind": "none"},
}
LONG: dict[str, dict[str, Any]] = {"data": {"max_row_bytes": 250}}


def plan(source: Path, sections: dict[str, dict[str, Any]]) -> Config:
    return jobs.plan(source, **sections)


def run(
    config: Config,
    output: Path,
    make: Any,
    events: list[Any] | None = None,
    chunk_bytes: int = 4096,
    threads: int = 1,
    **options: Any,
) -> Result:
    heard = [] if events is None else events
    budget = Budget(2**24, threads, chunk_bytes, "a test")
    spec = JobSpec(config, output.parent, output, **{"range_bytes": 2**20, **options})
    return prepare(spec, budget, make, heard.append, lambda: None)
