"""benchmarks/gpu_day.sh runs as far as a machine without a GPU can; parity has tests of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu_day import imports

ROOT = Path(__file__).parents[2]
SEEN = {
    "1": ("statistics, repetition", "engine tests", "tests collected", "every kernel"),
    "2": (
        "whole job, jsonl, chunks",
        "whole job, parquet",
        "Parquet, zstd",
        "after a damaged page",
        "duplicate_of",
        "halvings",
        "given up for: RuntimeError: an illegal memory access",
    ),
}


@pytest.mark.sim
@pytest.mark.parametrize("call", ["1", "2"])
def test_a_dry_day_has_no_failed_row_and_leaves_two_files(call: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHON": sys.executable, "OUT": str(tmp_path)}
    command = ["bash", "benchmarks/gpu_day.sh", "--dry", call]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert " 0 failed" in done.stdout.splitlines()[-1]
    assert not [what for what in SEEN[call] if what not in done.stdout], done.stdout
    assert len(list(tmp_path.iterdir())) == 2, "of the eight that a call may leave"


def test_what_a_day_imports_is_checked_first(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    required = list(imports.required(dry=False))
    assert {"pydantic", "orjson", "ruamel.yaml", "pynvml", "numba", "cudf", "pytest"} <= set(required)
    assert imports.missing(["json", "no_such_module", "numpy"]) == ["no_such_module"]
    monkeypatch.setattr(imports, "required", lambda dry: ["no_such_module"])
    assert imports.main(dry=True) == 1
    line = capsys.readouterr().out
    assert line.startswith("missing: no_such_module; put them into the folder") and line.count("\n") == 1


def test_the_versions_that_a_folder_needs_are_those_of_the_lock() -> None:
    pins = (ROOT / imports.PINS).read_text().split()
    lock = {line.split(" ")[0] for line in (ROOT / "locks/dev-3.12.txt").read_text().splitlines()}
    assert set(pins) <= lock
    assert {"pydantic", "orjson", "ruamel-yaml"} <= {pin.split("==")[0] for pin in pins}


def test_libnvvm_of_a_toolkit_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "nvvm" / "lib64" / "libnvvm.so.4"
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert imports.nvvm() == str(library)
