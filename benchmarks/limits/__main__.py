"""Print what a job takes at most, and put it where the docs have it.

python -m benchmarks.limits memory [NAME ...]     # exit 1 where an input takes more than it may
python -m benchmarks.limits growth [NAME ...]     # exit 1 where an exponent is above 1.15
python -m benchmarks.limits                       # both, and into docs/memory.md
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.limits import growth
from benchmarks.limits.inputs import INPUTS
from benchmarks.limits.memory import allowed, measure

PAGE = Path(__file__).parents[2] / "docs" / "memory.md"
MIB = 2**20
BUDGETS = ((32 * MIB, 1), (64 * MIB, 2))
"""Bytes, and threads."""


def memory_table(names: list[str]) -> tuple[list[str], bool]:
    """The table, and whether all took what they may."""
    lines = ["| input | budget, threads | took | may take | ended |", "|---|---|---|---|---|"]
    good = True
    for case in INPUTS:
        for budget, threads in BUDGETS if not names or case.name in names else ():
            with _folder() as folder:
                taken = measure(case, budget, threads, folder)
            most = allowed(case, budget, threads)
            good &= taken.anonymous <= most and (taken.end == "done") != case.fails
            end = "done" if taken.end == "done" else taken.end.partition(":")[0]
            lines.append(
                f"| {case.about} | {budget // MIB} MiB, {threads} | {taken.anonymous / MIB:.0f} MiB "
                f"| {most / MIB:.0f} MiB | {end} |"
            )
            print(lines[-1], flush=True)
    return lines, good


def growth_table(names: list[str]) -> tuple[list[str], bool]:
    lines = [
        "| of what there are more | from, to | CPU seconds | exponent |",
        "|---|---|---|---|",
    ]
    good = True
    for case in growth.GROWN:
        if names and case.name not in names:
            continue
        with _folder() as folder:
            times = growth.seconds(case, folder)
        power = growth.exponent(*times)
        good &= power <= growth.MOST
        lines.append(
            f"| {case.name} | {case.least:,}, {2 * case.least:,} "
            f"| {times[0]:.2f}, {times[1]:.2f} | {power:.2f} |"
        )
        print(lines[-1], flush=True)
    return lines, good


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="limits-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _into_page(name: str, lines: list[str]) -> None:
    marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = PAGE.read_text()
    table = "\n".join([marks[0], "", *lines, "", marks[1]])
    PAGE.write_text(re.sub(f"{marks[0]}.*{marks[1]}", lambda match: table, text, flags=re.DOTALL))


def main(arguments: list[str]) -> int:
    tables = {"memory": memory_table, "growth": growth_table}
    if arguments and arguments[0] not in tables:
        print(__doc__)
        return 2
    good = True
    for name in arguments[:1] or tables:
        lines, holds = tables[name](arguments[1:])
        good &= holds
        if len(arguments) < 2:
            _into_page(name, lines)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
