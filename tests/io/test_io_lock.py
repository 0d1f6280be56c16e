"""One run at a time on an output folder, between processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forge_gpu.errors import OutputError
from forge_gpu.io.lock import FolderLock

HOLDER = """
import sys, time
from pathlib import Path
from forge_gpu.io.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def hold(folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.wait()
    process.stdout.close()


def test_a_second_run_fails_by_choice(tmp_path: Path) -> None:
    process = hold(tmp_path)
    with (
        pytest.raises(OutputError, match=f"another run \\(process {process.pid} on .*writes here"),
        FolderLock(tmp_path, wait=0),
    ):
        raise AssertionError("the lock was given twice")
    end(process)
    with FolderLock(tmp_path, wait=0):
        assert (tmp_path / FolderLock.name).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_waits_and_says_so(tmp_path: Path) -> None:
    process = hold(tmp_path)
    lines: list[str] = []

    def release(line: str) -> None:
        lines.append(line)
        end(process)

    with FolderLock(tmp_path, on_wait=release):
        pass
    assert len(lines) == 1 and f"waiting for another run (process {process.pid}" in lines[0]


def test_a_wait_has_an_end(tmp_path: Path) -> None:
    process = hold(tmp_path)
    began = time.monotonic()
    with pytest.raises(OutputError, match="writes here"), FolderLock(tmp_path, wait=0.3):
        pass
    assert 0.3 <= time.monotonic() - began < 5
    end(process)


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    process = hold(tmp_path)
    process.send_signal(signal.SIGKILL)
    end(process)
    assert (tmp_path / FolderLock.name).exists()
    with FolderLock(tmp_path, wait=0):
        pass


def test_never_two_at_once(tmp_path: Path) -> None:
    """Six processes take turns; each notes that it came and went, and no two notes interleave."""
    worker = (
        "import sys, time\nfrom pathlib import Path\nfrom forge_gpu.io.lock import FolderLock\n"
        "FolderLock.poll = 0.01\nfor _ in range(5):\n with FolderLock(Path(sys.argv[1])):\n"
        "  f = open(sys.argv[2], 'a'); f.write('in\\n'); f.flush(); time.sleep(0.002)\n"
        "  f.write('out\\n'); f.close()\n"
    )
    log = tmp_path / "log"
    processes = [
        subprocess.Popen([sys.executable, "-c", worker, str(tmp_path / "out"), str(log)]) for _ in range(6)
    ]
    assert [process.wait() for process in processes] == [0] * 6
    assert log.read_text().split() == ["in", "out"] * 30


def test_a_link_in_place_of_the_lock(tmp_path: Path) -> None:
    (tmp_path / FolderLock.name).symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError), FolderLock(tmp_path):
        pass
    assert not os.path.lexists(tmp_path / "victim")
