"""The job itself over a part of its inputs, into a folder that is thrown away: what it took, what came
out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from forge_gpu.config.schema import Config
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.foretell.pieces import Pieces, sizes_of, take
from forge_gpu.hardware import shares
from forge_gpu.hardware.budget import Budget
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.kept import kept_bytes
from forge_gpu.io.spool import never
from forge_gpu.job.events.events import Event, JobStarted, StageDone, StageStarted
from forge_gpu.job.events.memory import resident_memory
from forge_gpu.job.events.processors import cpu_seconds
from forge_gpu.job.output.result import LEDGER, PAGE
from forge_gpu.job.prepare import prepare
from forge_gpu.job.start import engines_for
from forge_gpu.job.state.checkpoint import Checkpoint
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.place import FOLDER
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.plain import frozen, mutable

LEAST = 2**18
"""Bytes of the first look where a chunk of the job takes too long."""
WORKING = ("index", "encode", "decide", "write", "verify")
GROWTH = 8
"""Of one look to the next, while there is time."""
SHARE = 0.01
RANGES = 4
"""Of a sample that each thread works on at most, so that they share it as they share the whole."""
COLD = 4
"""Seconds of processors that the first run of a look may take for each of the look's: it loads things."""
TELLING = 2
"""Times the bytes of another look that one needs for their difference to tell what bytes take."""


@mutable
class Run:
    """One job over a part, of about so many bytes as were `asked` for.

    stages: seconds, of each stage; cpu: those of processors, of all threads. imports: bytes of memory as it
    began; peak: the most that was seen. decoded: bytes of the ranges that the job made of its input.
    work_disk: the most bytes below `.forge`, without those `kept` of decoded tables. outputs: bytes of the
    rows' files, of the ledger, of the page.
    manifest: its own.
    """

    pieces: Pieces
    asked: int
    stages: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    imports: int = 0
    peak: int = 0
    decoded: int = 0
    work_disk: int = 0
    kept: int = 0
    outputs: int = 0
    ledger: int = 0
    page: int = 0
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return sum(self.stages.values())

    @property
    def working(self) -> float:
        """Seconds of what takes longer the more rows there are."""
        return sum(self.stages.get(stage, 0.0) for stage in WORKING)


@frozen
class Sampled:
    """first: as the process met the job, its start included. small: the same again. large: more of it, or the
    whole. All three are one run where the first is of the whole. total: bytes of all inputs. ranges: bytes
    of each that the job will make of them, about. seconds: that it took to look."""

    first: Run
    small: Run
    large: Run
    total: int
    ranges: tuple[int, ...]
    budget: Budget
    engine: str
    engine_reason: str
    seconds: float
    vram: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def sample(spec: JobSpec, files: JobFiles, seconds: float, most: int | None = None) -> Sampled:
    """Look at the inputs of a job for about so many seconds, its start left aside. most: bytes of input to
    look at. Raises ForgeError for what the job would raise at once."""
    began = time.monotonic()
    total = sum(sizes_of(files.inputs))
    budget, engines = engines_for(spec, files)
    largest = min(most or max(int(total * SHARE), _worth(budget)), total)
    run = Sampler(spec, files, budget, engines)
    first = _first(run, min(budget.chunk_bytes, largest), seconds)
    small = first if first.pieces.whole else run(first.asked)
    large, started = small, time.monotonic()
    while not large.pieces.whole and large.asked < largest:
        left = seconds - (time.monotonic() - started)
        fits = int(max(left, 0) * large.pieces.bytes / max(large.working, 1e-3))
        size = min(largest, GROWTH * large.asked, fits)
        if size < min(TELLING * large.asked, total):
            break
        large = run(size)
    return Sampled(
        first,
        small,
        large,
        total,
        tuple(ranges_of(files.inputs, run.inflation, spec.range_bytes)),
        budget,
        engines.name,
        engines.reason,
        time.monotonic() - began,
        engines.pools,
        tuple(f"{path}: only its beginning was looked at" for path in large.pieces.heads[:3]),
    )


def _first(run: Sampler, size: int, seconds: float) -> Run:
    """A look at a chunk, as the job has it: in fewer rows more are of rare kinds. Of less where that takes
    far too long, by the processors' seconds: what else is at work here is no fault of the job."""
    until = cpu_seconds() + COLD * max(seconds, 1.0)

    def too_slow() -> None:
        if cpu_seconds() > until:
            raise _TooSlowError

    try:
        return run(size, too_slow if size > LEAST else never)
    except _TooSlowError:
        return run(LEAST)


class _TooSlowError(Exception):
    """A look takes too long."""


def _worth(budget: Budget) -> int:
    """Bytes that give each thread some chunks."""
    return RANGES * budget.threads * budget.chunk_bytes


@mutable
class Sampler:
    """Runs a job over parts of its inputs. inflation: bytes that the job makes ranges of, for each byte of
    input, as the last run had it."""

    spec: JobSpec
    files: JobFiles
    budget: Budget
    engines: EngineFactory
    inflation: float = 1.0

    @property
    def is_streamed(self) -> bool:
        """Whether the whole is too large to be held in memory between the passes."""
        return (self.files.size or 0) > shares.SPOOL.of(self.budget.bytes)

    def __call__(self, most: int, check_stop: Callable[[], None] = never) -> Run:
        """Run the job over about so many bytes. check_stop: as of `prepare`."""
        with TemporaryDirectory(prefix="forge-estimate-") as name:
            spec, files, pieces = self.of_part(most, Path(name))
            run = _measured(spec, self.budget, self.engines, files, Run(pieces, most), check_stop)
        self.inflation = run.decoded / max(pieces.bytes, 1)
        return run

    def of_part(self, most: int, folder: Path) -> tuple[JobSpec, JobFiles, Pieces]:
        """The job over about so many bytes, which writes below `folder`, its inputs, and what these are."""
        (folder / "pieces").mkdir()
        pieces = take(self.files.inputs, self.spec.config, most, folder / "pieces")
        spec = replace(
            self.spec,
            config=_for_sample(self.spec.config, pieces, self.is_streamed),
            output=folder / "prepared",
            destination=None,
            workers=None,
            scheduler=None,
            strict=False,
            range_bytes=self.spec.range_bytes if pieces.whole else self._range_bytes(pieces),
        )
        files = JobFiles(spec)
        files.inputs, files.against = pieces.files, self.files.against
        return spec, files, pieces

    def _range_bytes(self, pieces: Pieces) -> int:
        """Of ranges that threads share as they share those of the whole, which may be one alone."""
        of_whole = ranges_of(self.files.inputs, self.inflation, self.spec.range_bytes)
        count = min(len(of_whole), RANGES * self.budget.threads)
        return max(2**16, int(pieces.bytes * self.inflation / count) + 1)


def _for_sample(config: Config, pieces: Pieces, is_streamed: bool) -> Config:
    """The plan for a part: what is cut is no damage, of what is capped a part is taken, and it is held in
    memory only where the whole will be."""
    if pieces.whole:
        return config.model_copy(update={"data": config.data.model_copy(update={"max_rejected": None})})
    changes: dict[str, Any] = {"max_rejected": None, "on_corrupt": "keep_prefix"}
    if is_streamed:
        preprocessing = config.preprocessing.model_copy(update={"streaming_threshold_gb": 0.0})
        config = config.model_copy(update={"preprocessing": preprocessing})
    caps = config.data.caps
    if isinstance(caps, dict):
        changes["caps"] = {path: round(cap * pieces.share) for path, cap in caps.items()}
    elif caps is not None:
        changes["caps"] = [None if cap is None else round(cap * pieces.share) for cap in caps]
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


def _measured(
    spec: JobSpec,
    budget: Budget,
    engines: EngineFactory,
    files: JobFiles,
    run: Run,
    check_stop: Callable[[], None],
) -> Run:
    from forge_gpu.report.collect import ReportCollector

    at_start, spool = 0.0, Checkpoint(spec.output).spool_folder
    collector = ReportCollector([]) if spec.config.output.report else None

    def listen(event: Event) -> None:
        nonlocal at_start
        if collector is not None:
            collector(event)
        match event:
            case JobStarted():
                run.imports = resident_memory()
            case StageStarted(stage=stage, total_bytes=total):
                run.work_disk = max(run.work_disk, bytes_of(spec.output / FOLDER) - kept_bytes(spool))
                run.decoded = (total or 0) if stage == "index" else run.decoded
                at_start = cpu_seconds()
            case StageDone(stage=stage, seconds=seconds):
                run.kept = max(run.kept, kept := kept_bytes(spool))
                run.work_disk = max(run.work_disk, bytes_of(spec.output / FOLDER) - kept)
                run.stages[stage] = run.stages.get(stage, 0.0) + seconds
                run.cpu[stage] = run.cpu.get(stage, 0.0) + cpu_seconds() - at_start
        run.peak = max(run.peak, resident_memory())

    began, cpu_began = time.monotonic(), cpu_seconds()
    run.manifest = prepare(spec, budget, engines, listen, check_stop, files, collector).manifest
    run.stages["other"] = max(time.monotonic() - began - sum(run.stages.values()), 0.0)
    run.cpu["other"] = max(cpu_seconds() - cpu_began - sum(run.cpu.values()), 0.0)
    run.outputs = sum(file["bytes"] for file in run.manifest["outputs"])
    run.ledger = bytes_of(spec.output / LEDGER)
    run.page = bytes_of(spec.output / PAGE)
    return run


def ranges_of(files: Sequence[InputFile], inflation: float, range_bytes: int) -> list[int]:
    """Bytes of the ranges that a job makes of its inputs, about."""
    sizes = [max(int((file.size or 0) * inflation), 1) for file in files]
    return [min(range_bytes, size - begin) for size in sizes for begin in range(0, size, range_bytes)]


def bytes_of(path: Path) -> int:
    """Of a file, or of all files below a folder; of what goes meanwhile, none."""
    total = 0
    for each in path.rglob("*") if path.is_dir() else (path,):
        try:
            total += each.lstat().st_size if each.is_file() else 0
        except OSError:
            continue
    return total
