"""Damaged files of each format: the job ends or refuses them, and counts right. `make fuzz` tries more."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import orjson
import pytest

from tests.faults.fuzz import FORMATS, expected_lines, fuzz, fuzzer

SEED = 24
SECONDS = 60.0


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("cc") is None and "FORGE_REQUIRE_CC" not in os.environ, reason="needs a C compiler"
)
def test_damaged_files_end_or_are_refused_and_counted(tmp_path: Path) -> None:
    with fuzzer() as (injector, folder):
        result = fuzz(injector, folder, SECONDS, SEED, tmp_path / "faults", most=300)
    assert result.faults == []
    assert result.files >= len(FORMATS) and 0 < result.refused < result.files


def test_the_other_reader_counts_lines() -> None:
    good = orjson.dumps({"instruction": "a", "output": 1}) + b"\n"
    assert expected_lines(good * 2 + b"\n \n{\n" + b'{"instruction":"a"}\n' + b"[1]\n") == (5, 2)
    assert expected_lines(b'{"instruction":"\xff","output":"b"}\n') == (1, 0)
