"""The command's first step, from which on a signal ends it with one line, while the rest is imported too; and
its last, which ends the process."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn


def main() -> NoReturn:
    """Entry point."""
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
