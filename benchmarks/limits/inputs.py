"""Inputs that are small on the disk and large in memory, or large in one of their rows, columns or lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FLAT = {"shape": "flat", "query": "q", "response": "a"}
CONVERSATION = {"shape": "conversation", "messages": "messages"}
PROMPT = "You are a helpful assistant for the customers of a shop. "

Make = Callable[[Path, float], Path]
"""Writes the input into a folder, at a scale: 1 is what is measured, less makes the job that warms up."""


@dataclass(frozen=True)
class HostileInput:
    """name, about: for the table. make: the file. row: bytes of its largest row, decoded, where that is
    more than a chunk. sections: of the plan, beside `data.inputs`. fails: whether the job is to refuse it."""

    name: str
    about: str
    make: Make
    row: int = 0
    mapping: Mapping[str, Any] = field(default_factory=lambda: FLAT)
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fails: bool = False

    def plan(self, file: Path, budget: int, threads: int) -> dict[str, Any]:
        """The plan of a job on the file, as `forge.yaml` would have it."""
        plan: dict[str, Any] = {
            "version": 1,
            "data": {"inputs": [str(file)], "mapping": dict(self.mapping)},
            "model": {"chat_template": "chatml", "template_kind": "builtin"},
            "preprocessing": {"memory": {"threads": threads, "budget": budget}},
            "output": {},
        }
        for name, values in self.sections.items():
            plan[name] = plan[name] | dict(values)
        return plan


def _lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    with path.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def _flat_table(count: int, **columns: Any) -> pa.Table:
    return pa.table(
        {
            **columns,
            "q": [f"question {i}" for i in range(count)],
            "a": [f"answer {i} of it" for i in range(count)],
        }
    )


def _repeated(value: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), [value])


def repeated_prompt(folder: Path, scale: float) -> Path:
    """A system prompt of 8 KB in each of 100,000 rows."""
    count, path = max(int(100_000 * scale), 10), folder / "prompt.parquet"
    pq.write_table(_flat_table(count, s=_repeated(PROMPT * 140, count)), path, row_group_size=count)
    return path


def dictionary_bomb(folder: Path, scale: float) -> Path:
    """A text of 24 KB named 200,000 times: 4.7 GiB of values."""
    count, path = max(int(200_000 * scale), 10), folder / "bomb.parquet"
    table = _flat_table(count).append_column("s", _repeated("x" * 24_000, count))
    pq.write_table(table, path, row_group_size=count)
    return path


def varied_dictionary(folder: Path, scale: float) -> Path:
    """Short texts of a dictionary in the first rows, one of 1 MB in each of the others."""
    count, path = max(int(4_000 * scale), 10), folder / "varied.parquet"
    indices = np.where(np.arange(count) < count // 2, 0, 1).astype(np.int32)
    column = pa.DictionaryArray.from_arrays(pa.array(indices), ["short", "y" * 1_000_000])
    pq.write_table(_flat_table(count, s=column), path, row_group_size=count)
    return path


def nested_dictionary(folder: Path, scale: float) -> Path:
    """Conversations in which each message repeats a text of 100 KB."""
    count, path = max(int(2_000 * scale), 10), folder / "nested.parquet"
    message = [{"role": "user", "content": "z" * 100_000}, {"role": "assistant", "content": "w" * 100_000}]
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    with pq.ParquetWriter(path, pa.schema([("messages", kind)]), compression="zstd") as writer:
        writer.write_table(
            pa.table({"messages": pa.array([message], kind).take(pa.array(np.zeros(count, np.int64)))}),
            row_group_size=count,
        )
    return path


def one_row_group(folder: Path, scale: float) -> Path:
    """200,000 rows of 1 KB in one row group."""
    count, path = max(int(200_000 * scale), 10), folder / "group.parquet"
    texts = [f"{i} " + "many words of an answer " * 40 for i in range(count)]
    pq.write_table(_flat_table(count).set_column(1, "a", [texts]), path, row_group_size=count)
    return path


def long_rows(folder: Path, scale: float) -> Path:
    """30 rows of 8 MB."""
    size = int(8_000_000 * scale)
    return _lines(
        folder / "long.jsonl", ({"q": f"q {i}", "a": f"{i} " + "word " * (size // 5)} for i in range(30))
    )


def one_long_row(folder: Path, scale: float) -> Path:
    """One row of 60 MB among 1,000 short ones."""
    size = int(60_000_000 * scale)
    rows = ({"q": f"q {i}", "a": f"{i} " + "word " * (size // 5 if i == 500 else 20)} for i in range(1000))
    return _lines(folder / "one.jsonl", rows)


def tiny_rows(folder: Path, scale: float) -> Path:
    """5,000,000 rows of 20 bytes, as elements of a JSON array."""
    count, path = max(int(5_000_000 * scale), 10), folder / "tiny.json"
    with path.open("w") as file:
        file.write("[")
        for first in range(0, count, 100_000):
            file.write(
                ("," if first else "")
                + ",".join(f'{{"q":"{i}","a":"b"}}' for i in range(first, min(first + 100_000, count)))
            )
        file.write("]")
    return path


def tiny_elements(folder: Path, scale: float) -> Path:
    """1,000,000 elements of two bytes that are no records."""
    count, path = max(int(1_000_000 * scale), 10), folder / "elements.json"
    path.write_text("[" + ",".join(["1"] * count) + ',{"q":"a","a":"b"}]')
    return path


def tiny_lines(folder: Path, scale: float) -> Path:
    """1,000,000 lines of two bytes that are no records."""
    count, path = max(int(1_000_000 * scale), 10), folder / "elements.jsonl"
    path.write_text('{"q":"a","a":"b"}\n' + "1\n" * count)
    return path


def many_messages(folder: Path, scale: float) -> Path:
    """Conversations of 10,000 short messages each."""
    turns = max(int(10_000 * scale), 4)
    messages = [{"role": "user" if t % 2 == 0 else "assistant", "content": "w"} for t in range(turns)]
    rows = ({"messages": [*messages, {"role": "user", "content": str(i)}, messages[1]]} for i in range(100))
    return _lines(folder / "messages.jsonl", rows)


def unclosed_quote(folder: Path, scale: float) -> Path:
    """CSV of 200 MB with a quote in its first row that is never closed."""
    path = folder / "unclosed.csv"
    rows = max(int(4_000_000 * scale), 10)
    with path.open("w") as file:
        file.write('q,a\n"a quote that opens,b\n')
        for first in range(0, rows, 100_000):
            file.write("a question of some words,an answer of some words\n" * min(100_000, rows - first))
    return path


def wide_csv(folder: Path, scale: float) -> Path:
    """300 rows of 100,000 columns."""
    columns = max(int(100_000 * scale), 3)
    with (path := folder / "wide.csv").open("w") as file:
        file.write("q,a," + ",".join(f"c{i}" for i in range(columns - 2)) + "\n")
        for row in range(300):
            file.write(f"q{row},a{row}" + ",x" * (columns - 2) + "\n")
    return path


def ordinary(folder: Path, scale: float) -> Path:
    """183 MiB of rows of 1 KB."""
    count = max(int(183 * 1024 * scale), 10)
    text = "many words of an answer, each of them plain " * 22
    return _lines(folder / "rows.jsonl", ({"q": f"question {i}", "a": f"{i} {text}"} for i in range(count)))


PARQUET_OUT = {"output": {"format": "parquet"}}
SYSTEM_OUT = {"output": {"columns": ["s"]}}
MIB = 2**20

INPUTS = (
    HostileInput(
        "repeated prompt",
        "Parquet, 8 KB repeated in 100,000 rows",
        repeated_prompt,
        8_000,
        sections=SYSTEM_OUT,
    ),
    HostileInput("dictionary", "Parquet, 4.7 GiB of values in 0.9 MB, not asked for", dictionary_bomb),
    HostileInput(
        "uneven dictionary",
        "Parquet, short texts, then 1 MB a row",
        varied_dictionary,
        1_000_000,
        sections=SYSTEM_OUT,
    ),
    HostileInput(
        "nested texts",
        "Parquet, conversations of two texts of 100 KB",
        nested_dictionary,
        200_000,
        CONVERSATION,
    ),
    HostileInput("one row group", "Parquet, 200,000 rows of 1 KB in a row group", one_row_group),
    HostileInput(
        "long rows to Parquet", "30 rows of 8 MB, to Parquet", long_rows, 8_000_000, sections=PARQUET_OUT
    ),
    HostileInput("long rows", "30 rows of 8 MB", long_rows, 8_000_000),
    HostileInput("one long row", "one row of 60 MB", one_long_row, 60_000_000),
    HostileInput("tiny rows", "a JSON array of 5,000,000 rows of 20 bytes", tiny_rows),
    HostileInput("tiny elements", "a JSON array of 1,000,000 numbers", tiny_elements),
    HostileInput("tiny lines", "1,000,000 lines of two bytes", tiny_lines),
    HostileInput(
        "many messages", "100 conversations of 10,000 messages", many_messages, 400_000, CONVERSATION
    ),
    HostileInput("unclosed quote", "CSV, 200 MB behind a quote that stays open", unclosed_quote, 64 * MIB),
    HostileInput("wide table", "CSV, 300 rows of 100,000 columns", wide_csv, 2_400_000),
    HostileInput("rows to Parquet", "183 MiB of rows of 1 KB, to Parquet", ordinary, sections=PARQUET_OUT),
    HostileInput(
        "shuffle", "183 MiB of rows of 1 KB, shuffled", ordinary, sections={"output": {"order": "shuffled"}}
    ),
    HostileInput("rows", "183 MiB of rows of 1 KB", ordinary),
)
