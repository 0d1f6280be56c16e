"""Whether time and memory stay flat when the input is larger than the memory of the machine.

    python -m benchmarks.acceptance.scale FOLDER ROWS... [--job NAME]... [--threads N]...

ROWS: as many rows of the generated flat kind, 0.92 kB each; a shorter input is the beginning of a longer one.
For each, the whole job as a command: `plain` and `near-duplicates`, by the settings that a plan has by
default, unless --job names others; `bare-near-duplicates` leaves out the checks, the report and reading back.
With all cores, or once with each number of --threads. Prints a Markdown table: seconds a gigabyte of input
and stage, megabytes and rows a second and thread, and the peak of memory. FOLDER keeps the inputs; outputs
are deleted as soon as they are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.command import spawn

FORGE = str(Path(sys.executable).with_name("forge"))
PLANS = Path(__file__).parents[1] / "plans"
NEAR = ("--set", "preprocessing.dedup.near.threshold=0.8")
JOBS = {
    "plain": ("--config", str(PLANS / "checked.yaml")),
    "near-duplicates": ("--config", str(PLANS / "checked.yaml"), *NEAR),
    "bare-near-duplicates": ("--config", str(PLANS / "bare.yaml"), *NEAR),
}
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


def job(source: Path, output: Path, rows: int, options: tuple[str, ...], threads: int) -> str:
    """Figures of the table."""
    command = [FORGE, "prepare", str(source), "--output", str(output), "--threads", str(threads), *options]
    done = spawn(command)
    run = json.loads((output / "manifest.json").read_bytes())["run"]
    shutil.rmtree(output)
    gigabytes = source.stat().st_size / 1e9
    # A plan without a stage has no seconds of it.
    of_stages = [run["stages"].get(stage, {"seconds": 0.0})["seconds"] / gigabytes for stage in STAGES]
    figures = [
        f"{gigabytes:.2f}",
        *(f"{seconds:.2f}" for seconds in (*of_stages, done.seconds / gigabytes, done.cpu / gigabytes)),
        f"{1e3 * gigabytes / done.seconds / threads:.2f}",
        f"{rows / done.seconds / threads:,.0f}",
        f"{done.peak / 2**20:,.0f}",
    ]
    return " | ".join(figures)


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("folder", type=Path)
    words.add_argument("rows", type=int, nargs="+")
    words.add_argument("--job", action="append", choices=JOBS)
    words.add_argument("--threads", action="append", type=int)
    asked = words.parse_args()
    heads = [
        "job",
        "threads",
        "GB",
        *STAGES,
        "all, s/GB",
        "CPU s/GB",
        "MB/s a thread",
        "rows/s a thread",
        "peak MiB",
    ]
    print(f"| {' | '.join(heads)} |", flush=True)
    print("|---" * len(heads) + "|", flush=True)
    for name in asked.job or ("plain", "near-duplicates"):
        for rows in asked.rows:
            source = make(asked.folder, rows)
            for threads in asked.threads or [len(os.sched_getaffinity(0))]:
                figures = job(source, asked.folder / "output", rows, JOBS[name], threads)
                print(f"| {name} | {threads} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
