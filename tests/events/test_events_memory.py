"""What a process says that it holds."""

from __future__ import annotations

import subprocess
import sys

from forge_gpu.job.events.memory import anonymous_memory, peak_memory, resident_memory

MIB = 2**20


def test_a_peak_is_of_the_process_itself_and_not_of_the_one_that_started_it():
    held = bytearray(b"1" * (300 * MIB))
    child = subprocess.run(
        [sys.executable, "-c", "from forge_gpu.job.events.memory import peak_memory; print(peak_memory())"],
        stdout=subprocess.PIPE,
        check=True,
    )
    assert 4 * MIB < int(child.stdout) < len(held)
    assert peak_memory() >= len(held) and peak_memory() >= resident_memory() > anonymous_memory() > 0
