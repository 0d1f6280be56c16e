"""What this process has taken of the machine's processors."""

from __future__ import annotations

import os
import time


def cpu_seconds() -> float:
    """Of all threads of this process, and of the processes it started that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system
