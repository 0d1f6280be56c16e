"""The table that ends the day."""

from __future__ import annotations

import json
from pathlib import Path


def show(file: Path, dry: bool) -> int:
    """Print every row; 1 where one of them failed."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    names = ("section", "what", "figure", "verdict")
    widths = {name: max([len(name), *(len(row[name]) for row in rows)]) for name in names}
    line = "  ".join(name.ljust(widths[name]) for name in names)
    print(f"\nGPU day{' (dry: no GPU, no figure means anything)' if dry else ''}\n{line}\n{'-' * len(line)}")
    for row in rows:
        print("  ".join(row[name].ljust(widths[name]) for name in names).rstrip())
    failed = sum(row["verdict"] == "FAILED" for row in rows)
    print(f"{len(rows)} rows, {failed} failed, {sum(row['verdict'] == 'not run' for row in rows)} not run")
    return int(failed > 0)
