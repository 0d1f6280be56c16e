"""What looking at a job costs: its events and logs, its report, and a report that is made anew.

    python -m benchmarks.observed [ROWS] [ROUNDS]

Each round runs the same job four times in this process, one after the other, in turn another first: with
nobody listening; with events in a file and a log; with the live page's notes and metrics as well; and with
the report alone.
Whole jobs, from opening to the manifest. Differences and ratios are of the same round, and their medians are
told; on a machine that others use as well, look at the spread, and at the processor's seconds. Then
`forge report` runs as a command, with the most memory that it takes. Prints a Markdown table.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.generate import write
from benchmarks.launch import FORGE
from forge_gpu.config.load import load
from forge_gpu.job.events.dispatch import Dispatcher, of_events
from forge_gpu.job.events.encode import EntryListener
from forge_gpu.job.events.file import EventFile
from forge_gpu.job.output.collector import Collector
from forge_gpu.job.start import run
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.report.collect import ReportCollector
from forge_gpu.report.live.note import LiveNote
from forge_gpu.report.log import JobLog
from forge_gpu.report.metrics import Metrics

PLAN = Path(__file__).parent / "plans" / "checked.yaml"
ROWS, ROUNDS = 400_000, 7

Times = tuple[float, float]
"""Seconds on the wall, and of the processor."""
Job = Callable[[Path, Path], Times]


def timed(
    source: Path, output: Path, listeners: Sequence[EntryListener], collector: Collector | None
) -> Times:
    """Seconds of a whole job with so many who look at it."""
    shutil.rmtree(output, ignore_errors=True)
    config = load(PLAN).config
    config = config.model_copy(update={"data": config.data.model_copy(update={"inputs": [str(source)]})})
    began, worked = time.perf_counter(), time.process_time()
    with Dispatcher(listeners) as dispatcher:
        run(JobSpec(config, source.parent, output), dispatcher, lambda: None, collector=collector)
    return time.perf_counter() - began, time.process_time() - worked


def bare(source: Path, output: Path) -> Times:
    return timed(source, output, [], None)


def written(stack: ExitStack, output: Path) -> list[EntryListener]:
    """Events in a file, and a log of all of them."""
    return [
        stack.enter_context(EventFile.open(output.with_suffix(".events"))),
        stack.enter_context(closing(JobLog(str(output.with_suffix(".log")), "debug", ["forge"]))),
    ]


def logged(source: Path, output: Path) -> Times:
    with ExitStack() as stack:
        return timed(source, output, written(stack, output), None)


def watched(source: Path, output: Path) -> Times:
    """All that writes down what happens."""
    note = LiveNote(["forge", "prepare"])
    note.folder = output
    with ExitStack() as stack:
        metrics = stack.enter_context(closing(Metrics(str(output.with_suffix(".prom")))))
        return timed(source, output, [note, metrics, *written(stack, output)], None)


def reported(source: Path, output: Path) -> Times:
    collector = ReportCollector(["forge", "prepare"])
    return timed(source, output, [of_events(collector, "the report")], collector)


JOBS: dict[str, Job] = {
    "nobody": bare,
    "events, log": logged,
    "events, log, live page, metrics": watched,
    "report": reported,
}
PEAK = """
import sys
from benchmarks.command import spawn
made = spawn(sys.argv[1:])
print(made.seconds, made.cpu, made.peak)
"""


def made_anew(output: Path) -> tuple[float, float, float]:
    """Seconds, those of the processor, and megabytes of `forge report`, started by a small process, as
    `command.spawn` asks for."""
    command = [sys.executable, "-c", PEAK, FORGE, "report", str(output)]
    seconds, cpu, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(cpu), int(peak) / 1e6


def rounds_of(source: Path, output: Path, rounds: int) -> dict[str, list[Times]]:
    """What each job took in each round."""
    times: dict[str, list[Times]] = {who: [] for who in JOBS}
    bare(source, output)  # compiles, and warms the caches
    for number in range(rounds):
        first = number % len(JOBS)
        for who in [*list(JOBS)[first:], *list(JOBS)[:first]]:
            times[who].append(JOBS[who](source, output))
    return times


def row(who: str, times: list[Times], least: list[Times]) -> str:
    """A line of the table."""
    cells = [who]
    for clock in (0, 1):
        of, nobody = [one[clock] for one in times], [one[clock] for one in least]
        ratios = [100 * one / none - 100 for one, none in zip(of, nobody, strict=True)]
        more = median(one - none for one, none in zip(of, nobody, strict=True))
        cells += [f"{median(of):.3f}", f"{more:+.3f}, {median(ratios):+.1f}%"]
        cells.append(f"{min(ratios):+.1f} to {max(ratios):+.1f}%")
    return f"| {' | '.join(cells)} |"


def main(rows: int = ROWS, rounds: int = ROUNDS) -> None:
    with TemporaryDirectory() as name:
        source, output = Path(name) / "rows.jsonl", Path(name) / "out"
        write(source, "flat", rows)
        times = rounds_of(source, output, rounds)
        print(f"{rows:,} rows, {source.stat().st_size / 1e6:,.0f} MB, {rounds} rounds\n")
        print("| who looks | wall s | over nobody | rounds | CPU s | over nobody | rounds |")
        print("|---|---|---|---|---|---|---|")
        for who, of in times.items():
            print(row(who, of, times["nobody"]))
        reported(source, output)
        anew = [made_anew(output) for _ in range(rounds)]
        seconds, cpu, peak = (median(of) for of in zip(*anew, strict=True))
        print(f"\nforge report: {seconds:.2f} s, {cpu:.2f} s of the processor, {peak:.0f} MB at most")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
