"""An input that changes between the passes is noticed, by the digest of its rows in both."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forge_gpu
from forge_gpu.errors import InputError
from forge_gpu.hardware import shares
from forge_gpu.job import prepare, streaming
from tests.guards.planted import when
from tests.job import jobs


def change_a_letter(source: Path) -> None:
    """Neither the size nor the time of the file tells."""
    status, data = source.stat(), source.read_bytes()
    at = data.rindex(b"word", 0, len(data) // 2)
    source.write_bytes(data[:at] + b"W" + data[at + 1 :])
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("scans", ["kept", "made again"])
def test_a_letter_that_changes_between_the_passes(
    scans: str, threads: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the places of rows are kept or found again."""
    if scans == "made again":
        monkeypatch.setattr(shares, "SCANS", shares.Share(Fraction(0)))

    with pytest.raises(InputError, match=r"rows.jsonl: changed while it was read; run the command again"):
        jobs.run(
            jobs.plan(source),
            tmp_path / "out",
            threads,
            listener=when("decide", lambda: change_a_letter(source)),
        )
    assert not (tmp_path / "out/manifest.json").exists()


def test_rows_that_are_gone_between_the_passes(source: Path, tmp_path: Path) -> None:
    """The second pass finds none of them, and the output is not read back."""

    def blank() -> None:
        status = source.stat()
        source.write_bytes(b"\n" * status.st_size)
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))

    plan = jobs.plan(source, output={"verify": False})
    with pytest.raises(InputError, match=r"rows.jsonl: changed while it was read"):
        jobs.run(plan, tmp_path / "out", listener=when("decide", blank))
    assert not (tmp_path / "out/manifest.json").exists()


@pytest.mark.parametrize("scans", ["kept", "made again"])
def test_a_letter_that_changes_while_rows_are_streamed(
    scans: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if scans == "made again":
        monkeypatch.setattr(shares, "SCANS", shares.Share(Fraction(0)))
    real = prepare.take_steps

    def then_change(*arguments: Any) -> None:
        real(*arguments)
        change_a_letter(source)

    monkeypatch.setattr(streaming, "take_steps", then_change)
    with pytest.raises(InputError, match=r"rows.jsonl: changed while it was read"):
        list(forge_gpu.stream(jobs.plan(source), split="train"))


def table(word: str) -> pa.Table:
    return pa.table(
        {
            "instruction": pa.array([f"{word} question {i}" for i in range(300)]),
            "input": pa.array([word] * 300).dictionary_encode(),
            "output": pa.array([f"{word} answer {i}" for i in range(300)]),
        }
    )


def arrow(word: str, opener: Callable[..., Any], *, dictionaries: bool = False, **options: Any) -> bytes:
    sink, rows = io.BytesIO(), table(word)
    if not dictionaries:
        rows = rows.set_column(1, "input", rows["input"].cast(pa.string()))
    with opener(sink, rows.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(rows, max_chunksize=70)
    return sink.getvalue()


def parquet(word: str, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table(word), sink, row_group_size=70, **options)
    return sink.getvalue()


def csv(word: str) -> bytes:
    columns = table(word).to_pydict()
    lines = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *map(",".join, lines), ""]).encode()


TABLES: dict[str, Callable[[str], bytes]] = {
    "x.parquet": parquet,
    "plain.parquet": lambda word: parquet(word, compression="none", use_dictionary=False),
    "file.arrow": lambda word: arrow(word, pa.ipc.new_file),
    "stream.arrow": lambda word: arrow(word, pa.ipc.new_stream),
    "packed.arrow": lambda word: arrow(word, pa.ipc.new_file, compression="zstd"),
    "dictionaries.arrow": lambda word: arrow(word, pa.ipc.new_stream, dictionaries=True),
    "x.csv": csv,
    "x.csv.gz": lambda word: gzip.compress(csv(word), mtime=0),
}


@pytest.mark.parametrize("how", ["replaced", "written over"])
@pytest.mark.parametrize("name", TABLES)
def test_another_table_between_the_passes(name: str, how: str, tmp_path: Path) -> None:
    """Of the same size and time: read from its file or from a copy, the job has the rows of neither."""
    source = tmp_path / name
    source.write_bytes(TABLES[name]("old"))

    def swap() -> None:
        status, other = source.stat(), TABLES[name]("new")
        if how == "replaced":
            (tmp_path / "other").write_bytes(other)
            os.replace(tmp_path / "other", source)
        else:
            source.write_bytes(other)
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(InputError, match=f"{name}: .*run the command again"):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=when("decide", swap))
    assert not (tmp_path / "out/manifest.json").exists()


def test_lines_that_were_decoded_stay_as_they_were(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl.gz"
    rows = [{"instruction": f"old {i}", "input": "", "output": f"old answer {i}"} for i in range(300)]
    data = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    source.write_bytes(gzip.compress(data))

    def swap() -> None:
        source.write_bytes(gzip.compress(data.replace(b"old", b"new")))

    jobs.run(jobs.plan(source), tmp_path / "out", listener=when("decide", swap))
    assert "new" not in (tmp_path / "out/train.jsonl").read_text()


def test_a_table_that_changes_between_the_passes(tmp_path: Path) -> None:
    """A letter within a column that is not compressed: the table stays readable."""
    rows = jobs.rows(300, seed=7)
    columns = {name: [row[name] for row in rows] for name in ("instruction", "input", "output")}
    source = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns), source, compression="none", use_dictionary=False)

    def change() -> None:
        data = source.read_bytes()
        at = data.rindex(b"word", 0, len(data) // 2)
        with source.open("r+b") as file:
            file.seek(at)
            file.write(b"W")

    with pytest.raises(InputError, match=r"rows.parquet: changed while it was read; run the command again"):
        jobs.run(jobs.plan(source), tmp_path / "out", listener=when("decide", change))
    assert not (tmp_path / "out/manifest.json").exists()
    assert sum(jobs.run(jobs.plan(source), tmp_path / "out").counts.values()) == 300
