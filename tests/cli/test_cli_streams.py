"""The command where its streams fail, and where it is stopped before it has begun."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

START = "from forge_gpu.cli.start import main; main()"


def forge(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", START, *arguments], text=True, check=False, **options)  # type: ignore[call-overload]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(("arguments", "code"), [(("prepare", "--config", "none.yaml"), 1), (("plan",), 2)])
def test_a_full_standard_error_changes_no_exit_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    with open("/dev/full", "w") as full:
        assert forge(*arguments, cwd=tmp_path, stderr=full).returncode == code


def test_stopped_while_it_starts(tmp_path: Path) -> None:
    """By a signal in the midst of its imports."""
    late = "import signal, sys, os\n"
    late += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # what is started with & ignores it
    late += "class Stop:\n"
    late += "    def find_spec(self, name, path=None, target=None):\n"
    late += "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
    late += "sys.meta_path.insert(0, Stop())\n"
    done = subprocess.run([sys.executable, "-c", late + START], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "stopped\n")


def test_a_warning_obeys_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from forge_gpu.cli.progress import progress
    from forge_gpu.job.events.events import Warned

    for quiet in (True, False):
        with progress(quiet) as listener:
            listener(Warned("open", "\x1b]0;owned\x07name\x1b[2J"))
    assert "\x1b" not in capsys.readouterr().err
