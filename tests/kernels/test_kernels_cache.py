"""The cache of compiled kernels is code: it is loaded only from where nobody else can have put it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forge_gpu.kernels import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the kernels of a fresh cache go."""
    monkeypatch.setenv("FORGE_CACHE_DIR", str(tmp_path / "cache"))
    return cache.cache_folder.__wrapped__()


def test_a_fresh_cache_is_used_again_and_nobody_else_comes_to_it(folder: Path, tmp_path: Path) -> None:
    assert folder.is_relative_to(tmp_path / "cache") and folder.stat().st_mode & 0o077 == 0
    (folder / "one.nbi").write_bytes(b"")
    (folder / "one.nbi").chmod(0o664)  # as a umask of 002 has it
    assert cache.cache_folder.__wrapped__() == folder


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
@pytest.mark.parametrize("levels", [0, 1, 2])
def test_a_folder_that_others_may_write_is_left_alone(folder: Path, levels: int, mode: int) -> None:
    [folder, *folder.parents][levels].chmod(mode)
    used = cache.cache_folder.__wrapped__()
    assert used != folder and used.stat().st_mode & 0o077 == 0 and not any(used.iterdir())


def test_what_others_may_have_planted_is_left_alone(folder: Path, tmp_path: Path) -> None:
    folder.chmod(0o755)
    planted = folder / "kernel.nbi"
    planted.write_bytes(b"")
    planted.chmod(0o666)
    assert cache.cache_folder.__wrapped__() != folder
    planted.unlink()
    (tmp_path / "elsewhere.nbi").write_bytes(b"")
    planted.symlink_to(tmp_path / "elsewhere.nbi")
    assert cache.cache_folder.__wrapped__() != folder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_left_alone(folder: Path) -> None:
    os.chown(folder, 12345, 12345)
    assert cache.cache_folder.__wrapped__() != folder


PLANT = """
import pickle, sys
class Runs:
    def __reduce__(self): return (open, (sys.argv[2], "w"))
open(sys.argv[1], "wb").write(pickle.dumps(Runs()))
"""


def test_a_hostile_cache_runs_nothing(folder: Path, tmp_path: Path) -> None:
    """A pickle in every place where numba looks, in a folder that others may write."""
    environment = os.environ | {"FORGE_CACHE_DIR": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    run = "from forge_gpu.kernels.cpu.utf8 import valid_utf8; from forge_gpu.kernels.layout import *; "
    run += "import numpy as np; d = np.frombuffer(b'abc', np.uint8); z = np.zeros(1, np.int64); "
    run += "print(valid_utf8(Spans(d, z, z + 3, np.full(1, PLAIN, np.uint8))))"
    subprocess.run([sys.executable, "-c", run], env=environment, check=True, capture_output=True)
    indexes = list(folder.rglob("*.nbi"))
    assert indexes
    ran = tmp_path / "ran"
    for index in indexes:
        subprocess.run([sys.executable, "-c", PLANT, str(index), str(ran)], check=True)
    folder.chmod(0o777)
    subprocess.run([sys.executable, "-c", run], env=environment, check=True, capture_output=True)
    assert not ran.exists()
    folder.chmod(0o700)  # as a check of the check: there it is believed
    subprocess.run([sys.executable, "-c", run], env=environment, capture_output=True)
    assert ran.exists()
