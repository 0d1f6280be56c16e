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
from tests.sandbox.attacks import Outside, attacks
from tests.sandbox.boxes import transformed

HOSTILE = (Path(__file__).parent / "hostile.py").read_text()
SECRET = "the secret of another"


def main(output: str) -> None:
    """output: a folder that the container may write to. Prints a line of JSON."""
    folder = Path(output)
    secret = folder / "secret"
    secret.write_text(SECRET)
    before = sorted(os.listdir(folder))
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    given = attacks(Outside(secret, folder, victim.pid))
    leaks: dict[str, Any] = {}
    for wall in ("landlock", "filter"):
        made = transformed(HOSTILE, [*given.values()], wall, Bounds(60.0))
        leaks |= {
            f"{wall}: {name}": result
            for name, result in zip(given, made, strict=True)
            if not isinstance(result, str)
        }
    is_whole = victim.poll() is None and secret.read_text() == SECRET and sorted(os.listdir(folder)) == before
    victim.kill()
    told = {"layers": read_layers().names, "attacks": len(given), "leaks": leaks, "is_whole": is_whole}
    print(json.dumps(told))
