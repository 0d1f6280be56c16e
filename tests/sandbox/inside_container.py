"""All attacks from within a container, for a test that runs this there: what each set of layers lets out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from forge_gpu.sandbox.layers import read_layers
from forge_gpu.sandbox.sandbox import Bounds
from tests.sandbox.boxes import transformed

HOSTILE = (Path(__file__).parent / "hostile.py").read_text()
SECRET = "the secret of another"
VICTIM = 999_999_937
"""Stands in the rows for the process that is attacked."""


def main(attacks: str, output: str) -> None:
    """attacks: a file of rows, by name. output: a folder that the container may write to, attacked by them.
    Prints a line of JSON."""
    folder = Path(output)
    (folder / "secret").write_text(SECRET)
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    given = json.loads(Path(attacks).read_text().replace(str(VICTIM), str(victim.pid)))
    leaks: dict[str, Any] = {}
    for wall in ("landlock", "filter"):
        made = transformed(HOSTILE, [*given.values()], wall, Bounds(60.0))
        leaks |= {
            f"{wall}: {name}": result
            for name, result in zip(given, made, strict=True)
            if not isinstance(result, str)
        }
    is_whole = os.listdir(folder) == ["secret"] and (folder / "secret").read_text() == SECRET
    reported = {"layers": read_layers().names, "attacks": len(given), "leaks": leaks}
    print(json.dumps(reported | {"is_whole": is_whole and victim.poll() is None}))
    victim.kill()
