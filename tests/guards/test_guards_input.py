"""An input that changes between the passes is noticed, by the digest of its rows in both."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

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
