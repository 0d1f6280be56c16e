"""Scans that the first pass keeps for the second: the same rows, nothing of other bytes, within bounds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import InputError
from forge_gpu.hardware import shares
from forge_gpu.io.chunks import JsonChunk
from forge_gpu.job.rows import workspace
from forge_gpu.job.rows.scans import HeldScans
from forge_gpu.kernels.layout import Records
from tests.job import jobs

KEYS = ("a", "b")
LINES = b'{"a":"x\\n","b":1}\n{"b":null,"a":""}\n{"a":\n'


def chunk_of(data: bytes, offset: int = 0) -> JsonChunk:
    return JsonChunk(np.frombuffer(data, np.uint8), "lines", offset)


def scanned(chunk: JsonChunk) -> Records:
    return CpuEngine().scan(chunk.data, "lines", KEYS, 1 << 20)


def test_what_is_found_is_what_is_held() -> None:
    scans, chunk = HeldScans(1 << 20), chunk_of(LINES)
    records = scanned(chunk)
    scans.hold(0, chunk, records, 7)
    result = scans.find(0, chunk_of(LINES), KEYS)
    assert result is not None and result[1] == 7
    for name in ("start", "length", "reason"):
        assert getattr(result[0], name).tolist() == getattr(records, name).tolist()
    for key in KEYS:
        for name in ("start", "length", "kind"):
            have, want = getattr(result[0].columns[key], name), getattr(records.columns[key], name)
            assert (have.tolist(), have.dtype) == (want.tolist(), want.dtype)


def test_only_that_chunk_is_found() -> None:
    scans, chunk = HeldScans(1 << 20), chunk_of(LINES)
    scans.hold(0, chunk, scanned(chunk), 7)
    assert scans.find(1, chunk, KEYS) is None
    assert scans.find(0, chunk_of(LINES, 1), KEYS) is None
    assert scans.find(0, chunk_of(LINES + b"\n"), KEYS) is None


def test_no_more_is_kept_than_fits() -> None:
    chunk = chunk_of(LINES)
    records = scanned(chunk)
    scans = HeldScans(9 * 3 * len(records) + 1)
    scans.hold(0, chunk, records, 7)
    scans.hold(1, chunk, records, 7)
    assert scans.find(0, chunk, KEYS) is not None and scans.find(1, chunk, KEYS) is None


def test_the_second_pass_does_not_scan_what_is_held(tmp_path, monkeypatch) -> None:
    rows = [{"instruction": f"question {i}", "output": f"answer {i} \u00e9\n"} for i in range(300)]
    source = jobs.write_lines(tmp_path / "rows.jsonl", rows)
    calls = []
    scan = CpuEngine.scan

    def counted(self, data, form, keys, most):
        calls.append(keys)
        return scan(self, data, form, keys, most)

    monkeypatch.setattr(CpuEngine, "scan", counted)
    jobs.run(jobs.plan(source, output={"verify": False}), tmp_path / "kept")
    once = len(calls)
    monkeypatch.setattr(shares, "SCANS", shares.Share(Fraction(0)))
    jobs.run(jobs.plan(source, output={"verify": False}), tmp_path / "scanned")
    assert len(calls) - once > once
    assert jobs.content(tmp_path / "kept") == jobs.content(tmp_path / "scanned")


def test_a_scan_of_other_bytes_end_the_run(tmp_path, monkeypatch) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", [{"instruction": "q", "output": "an answer"}] * 9)
    digests = iter(range(100))
    monkeypatch.setattr(workspace, "source_digest", lambda rows: next(digests))
    with pytest.raises(InputError, match="changed while it was read"):
        jobs.run(jobs.plan(source), tmp_path / "out")
