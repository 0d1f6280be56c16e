"""Whether time and memory stay flat when the input is larger than the memory of the machine.

    python -m benchmarks.acceptance.scale FOLDER ROWS...

ROWS: as many rows of the generated flat kind, 0.92 kB each; a shorter input is the beginning of a longer one.
For each, the whole job as a command, without and with near-duplicates, by the settings that a plan has by
default. Prints the rows of two Markdown tables: seconds a gigabyte of input and stage, and the peak of
memory. FOLDER keeps the inputs; outputs are deleted as soon as they are measured.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.command import spawn

FORGE = str(Path(sys.executable).with_name("forge"))
PLAN = Path(__file__).parents[1] / "plans" / "checked.yaml"
NEAR = "preprocessing.dedup.near.threshold=0.8"
STAGES = ("index", "decide", "write", "finish", "verify")


def make(folder: Path, rows: int) -> Path:
    """The input of so many rows, in a process of its own, so that this one stays small."""
    path = folder / f"{rows}.jsonl"
    if not path.exists():
        program = (
            "import sys, pathlib; from benchmarks import generate; "
            "generate.write(pathlib.Path(sys.argv[1]), 'flat', int(sys.argv[2]))"
        )
        subprocess.run([sys.executable, "-c", program, str(path), str(rows)], check=True)
    return path


def job(source: Path, output: Path, settings: list[str]) -> str:
    """A row of the table."""
    words = [word for setting in settings for word in ("--set", setting)]
    done = spawn([FORGE, "prepare", str(source), "--config", str(PLAN), "--output", str(output), *words])
    run = json.loads((output / "manifest.json").read_bytes())["run"]
    gigabytes = source.stat().st_size / 1e9
    of_stages = [f"{run['stages'][stage]['seconds'] / gigabytes:.2f}" for stage in STAGES]
    shutil.rmtree(output)
    figures = [
        f"{gigabytes:.1f}",
        *of_stages,
        f"{done.seconds / gigabytes:.2f}",
        f"{done.cpu / gigabytes:.2f}",
    ]
    return " | ".join([*figures, f"{done.peak / 2**20:,.0f}"])


def main() -> None:
    folder, *counts = sys.argv[1:]
    print(f"| job | GB | {' | '.join(STAGES)} | all, s/GB | CPU s/GB | peak MiB |", flush=True)
    print("|---" * (len(STAGES) + 5) + "|", flush=True)
    for name, settings in (("plain", []), ("near-duplicates", [NEAR])):
        for rows in map(int, counts):
            source = make(Path(folder), rows)
            print(f"| {name} | {job(source, Path(folder) / 'output', settings)} |", flush=True)


if __name__ == "__main__":
    main()
