"""One task as a script: import, do it once, end. `python -m benchmarks.script MODULE TASK ARGUMENTS`."""

from __future__ import annotations

import importlib
import json
import sys

if __name__ == "__main__":
    module, task, arguments = sys.argv[1:]
    getattr(importlib.import_module(module), task)(**json.loads(arguments))()
