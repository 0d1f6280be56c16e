"""The environment of `make trainers`: what runs in it, and what is missing without."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venvs" / "trainers" / "bin" / "python"
MISSING = "run `make trainers` first"
SCRIPTS = ROOT / "tests" / "trainers"


def require() -> None:
    """Skip where there is no such environment, fail where there has to be one."""
    if not PYTHON.exists():
        assert "FORGE_REQUIRE_TRAINERS" not in os.environ, MISSING
        pytest.skip(MISSING)


def run(folder: Path, *command: str) -> str:
    """The last line that a script prints."""
    quiet = {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [str(PYTHON), *command], cwd=folder, capture_output=True, text=True, env={**os.environ, **quiet}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]
