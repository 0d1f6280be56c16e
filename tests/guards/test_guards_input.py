"""An input that changes between the passes is noticed, by the digest of its rows in both."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forge_gpu.errors import InputError
from forge_gpu.job import prepare
from tests.guards.planted import when
from tests.job import jobs


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("scans", ["kept", "made again"])
def test_a_letter_that_changes_between_the_passes(
    scans: str, threads: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the size nor the time of the file tells; whether the places of rows are kept or found again."""
    if scans == "made again":
        monkeypatch.setattr(prepare, "SCANS_SHARE", 2**60)

    def change() -> None:
        status, data = source.stat(), source.read_bytes()
        at = data.rindex(b"word", 0, len(data) // 2)
        source.write_bytes(data[:at] + b"W" + data[at + 1 :])
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(InputError, match=r"rows.jsonl: changed while it was read; run the command again"):
        jobs.run(jobs.plan(source), tmp_path / "out", threads, listener=when("decide", change))
    assert not (tmp_path / "out/manifest.json").exists()
