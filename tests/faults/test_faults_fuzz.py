"""Damaged files of each format: the job ends or refuses them, and counts right. `make fuzz` tries more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.faults.fuzz import FORMATS, expected_lines, fuzz, fuzzer
from tests.faults.fuzz_folders import FOLDERS

SEED = 24
SECONDS, OF_FOLDERS = 45.0, 15.0
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("cc") is None and "FORGE_REQUIRE_CC" not in os.environ, reason="needs a C compiler"
)
def test_damaged_files_end_or_are_refused_and_counted(tmp_path: Path) -> None:
    with fuzzer() as (injector, folder):
        result = fuzz(injector, folder, SECONDS, SEED, tmp_path / "faults", most=300)
    assert result.faults == []
    assert result.files >= len(FORMATS) and 0 < result.refused < result.files


@pytest.mark.slow
def test_damaged_folders_are_refused_or_read_as_they_were() -> None:
    """In a process of its own, whose crash says which folder it was by the seed."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.faults.fuzz_folders", str(OF_FOLDERS)]
    done = subprocess.run([*command, str(SEED), "150"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    folders = re.search(r"(\d+) folders, (\d+) commands refused, 0 faults", done.stdout)
    assert folders and int(folders[1]) > len(FOLDERS) and int(folders[2]) > 0


def test_the_other_reader_counts_lines() -> None:
    good = orjson.dumps({"instruction": "a", "output": 1}) + b"\n"
    assert expected_lines(good * 2 + b"\n \n{\n" + b'{"instruction":"a"}\n' + b"[1]\n") == (5, 2)
    assert expected_lines(b'{"instruction":"\xff","output":"b"}\n') == (1, 0)
