"""Kernels load nothing that other installed packages add to numba."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CALL = """
from forge_gpu.kernels.cpu.grouping import group_rows
import numpy as np
group_rows(np.arange(4), np.zeros(3, np.uint8), np.ones(3, np.bool_))
print("called")
"""


def test_an_installed_extension_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "extension.py").write_text("raise SystemExit('imported')")
    (tmp_path / "extension-1.dist-info").mkdir()
    (tmp_path / "extension-1.dist-info/METADATA").write_text("Name: extension\nVersion: 1\n")
    entry = "[numba_extensions]\ninit = extension:init\n"
    (tmp_path / "extension-1.dist-info/entry_points.txt").write_text(entry)
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "called\n", done.stderr
