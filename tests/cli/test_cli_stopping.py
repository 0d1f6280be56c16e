"""Signals while the main thread is inside one long call of compiled code."""

from __future__ import annotations

import signal
import subprocess
import sys

BUSY = """
import hashlib, sys
from forge_gpu.cli import stopping

stopping.PATIENCE = 0.2
with stopping.stopping_at_signals():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


def test_a_signal_is_answered_and_a_second_one_stops_at_once() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        line = process.stderr.readline()
        assert line == "stopping after the range in hand (again to stop at once)\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "stopped; the same command goes on from here\n"
        assert process.wait(10) == 130
