"""The command's first step, from which on a signal ends it with one line, while the rest is imported too; and
its last, which ends the process."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from typing import NoReturn

NEW_OBJECTS = 100_000
"""Python looks for cycles each time there are so many new containers. A small job's imports leave 65,000 of
them, none of them garbage: with Python's own 700 a start takes a twentieth longer, with 20,000 a fiftieth."""


def main() -> NoReturn:
    """Entry point."""
    gc.set_threshold(NEW_OBJECTS)
    try:
        from forge_gpu.cli import app
    except KeyboardInterrupt:
        os.write(2, b"stopped\n")
        os._exit(130)
    _leave(app.run())


def _leave(code: int) -> NoReturn:
    """End the process. What a command opened is closed. So where no other thread lives only that is left
    which libraries ask for at the end: to free each object of an interpreter takes a tenth of a short run."""
    if threading.active_count() > 1:
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # ValueError: it is closed
        sys.exit(code)
    sys.stderr.flush()
    os._exit(code)
