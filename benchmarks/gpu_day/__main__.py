"""`python -m benchmarks.gpu_day SECTION FILE [--dry]`: run one section, append its rows to FILE, as JSON.

`benchmarks/gpu_day.sh` runs all of them. --dry: numba's simulator and very small data instead of a GPU, to
see on any machine that the sections run; its figures mean nothing.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path

from benchmarks.gpu_day import table
from benchmarks.gpu_day.row import Row

# Imported one at a time: a box may lack a library that only one of them needs.
SECTIONS = {
    "machine": ("machine", "rows"),
    "kernels": ("kernels", "rows"),
    "parquet": ("parquet", "rows"),
    "frames": ("frames", "rows"),
    "touch": ("kernels", "touch"),
    "jobs": ("whole_job", "engines"),
    "memory": ("whole_job", "little_memory"),
    "fault": ("whole_job", "illegal_access"),
    "several": ("whole_job", "several_gpus"),
}


def main(section: str, file: Path, dry: bool) -> int:
    """Run a section. Its exit code is 1 where a row is bad."""
    if section == "table":
        return table.show(file, dry)
    bad = False
    try:
        module, function = SECTIONS[section]
        for row in getattr(importlib.import_module(f"benchmarks.gpu_day.{module}"), function)(dry):
            _append(file, row)
            bad |= row.verdict == "FAILED"
    except Exception as error:
        traceback.print_exc()
        _append(file, Row(section, "the section itself", f"{type(error).__name__}: {error}", "FAILED"))
        bad = True
    return int(bad)


def _append(file: Path, row: Row) -> None:
    with file.open("a", encoding="utf-8") as rows:
        rows.write(json.dumps(row.__dict__) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), "--dry" in sys.argv[3:]))
