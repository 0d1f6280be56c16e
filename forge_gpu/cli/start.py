"""The command's first step: from here on a signal ends it with one line, also while the rest is imported."""

from __future__ import annotations

import os


def main() -> None:
    """Entry point."""
    try:
        from forge_gpu.cli import app
    except KeyboardInterrupt:
        os.write(2, b"stopped\n")
        os._exit(130)
    app.main()
