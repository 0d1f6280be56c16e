"""The scripts in examples/ run as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_frames(tmp_path: Path) -> None:
    pytest.importorskip("dask.dataframe")
    command = [sys.executable, str(ROOT / "examples/frames.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (
        "'test': " in done.stdout
        and "3 partitions, the same " in done.stdout
        and done.stdout.endswith(" rows\n")
    )
    assert list(tmp_path.iterdir()) == []
