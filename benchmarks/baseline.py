"""Whether this checkout is slower than an earlier commit, the one that the file `baseline` names.

Both run the same cases in turns, each with its own code and contenders, on one core. A case is slower when
its user time is more than 10% above the earlier one's in so many rounds that chance explains it in less than
1% of all comparisons (a sign test).
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import comb
from pathlib import Path
from statistics import median

from benchmarks.case import Case, Point
from benchmarks.contenders import ROOT, Contender, Process
from benchmarks.inputs import Inputs
from benchmarks.measure import cores

FILE = Path(__file__).with_suffix("")
COMPARED = (
    ("whole_job", "forge", ""),
    ("whole_job", "forge, default checks", ""),
    ("chat_from_json", "forge", "llama3"),
    ("near_dedup", "forge", ""),
)
"""(case, contender, label of the point)."""

SIZE = "baseline"
ROUNDS = 15
SLOWER = 1.10
CHANCE = 0.01


class NoBaseline(Exception):
    """The earlier commit is not at hand."""


@dataclass(frozen=True)
class Compared:
    """User seconds of both, a pair a round."""

    where: str
    earlier: list[float]
    now: list[float]

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.now, self.earlier, strict=True)]

    @property
    def chance(self) -> float:
        """That so many rounds are beyond the bound where the median is not."""
        rounds = len(self.now)
        beyond = sum(ratio > SLOWER for ratio in self.ratios)
        return float(sum(comb(rounds, count) for count in range(beyond, rounds + 1)) / 2**rounds)

    @property
    def is_slower(self) -> bool:
        return self.chance < CHANCE

    def __str__(self) -> str:
        figures = f"{median(self.earlier):.3f} → {median(self.now):.3f} s, {median(self.ratios):.2f}×"
        return f"{'SLOWER' if self.is_slower else 'holds '} {self.where}: {figures} (p = {self.chance:.2g})"


def named_commit() -> str:
    return FILE.read_text().strip()


@contextmanager
def checkout_of(commit: str) -> Iterator[Path]:
    """A working tree of the commit. Raises NoBaseline."""
    git = ["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}"]
    with tempfile.TemporaryDirectory(prefix="baseline-") as folder:
        tree = Path(folder) / "forge"
        made = subprocess.run(
            [*git, "worktree", "add", "--quiet", "--detach", str(tree), commit],
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise NoBaseline(f"no commit {commit} in this history; fetch it first ({made.stderr.strip()})")
        try:
            yield tree
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(tree)], check=True)


def compare(
    cases: tuple[Case, ...], tree: Path, report: Callable[[str], None], only: frozenset[str] | None = None
) -> Iterator[Compared]:
    """COMPARED, one after the other. only: where, as a Compared has it."""
    by_name = {case.name: case for case in cases}
    inputs = Inputs(SIZE)
    for name, who, label in COMPARED:
        case = by_name[name]
        contender = next(contender for contender in case.cast if contender.name == who)
        point = next(point for point in case.points(inputs) if point.label == label)
        where = ", ".join(filter(None, (name, who, label)))
        if only is None or where in only:
            report(where)
            yield _in_turns(where, case, contender, point, tree)


def _in_turns(where: str, case: Case, contender: Contender, point: Point, tree: Path) -> Compared:
    with ExitStack() as stack:
        processes = []
        for checkout in (tree, ROOT):
            arguments = {"input": str(point.input), **point.arguments, **contender.arguments}
            if case.writes:
                arguments["folder"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-"))
            process = stack.enter_context(Process(contender, cores(point.cores), checkout))
            process.prepare(case.task, arguments)
            process.run()
            processes.append(process)
        earlier: list[float] = []
        now: list[float] = []
        for number in range(ROUNDS):
            for which in (0, 1) if number % 2 else (1, 0):
                (earlier, now)[which].append(processes[which].run()["user"])
        return Compared(where, earlier, now)
