"""The job itself over a part of its inputs, into a folder that is thrown away: what it took, what came
out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from forge_gpu.config.schema import Config
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.foretell.pieces import Pieces, sizes_of, take
from forge_gpu.hardware import shares
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.events.events import Event, JobStarted, StageDone, StageStarted
from forge_gpu.job.events.memory import resident_memory
from forge_gpu.job.output.result import LEDGER, PAGE
from forge_gpu.job.prepare import prepare
from forge_gpu.job.start import engines_for
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.place import FOLDER
from forge_gpu.job.state.spec import JobSpec

FIRST = 2**18
"""Bytes of the first look: what a job costs beside its rows."""
WORKING = ("index", "encode", "decide", "write", "verify")
GROWTH = 8
"""Of one look to the next, while there is time."""
SHARE = 0.01
RANGES = 4
"""Of a sample that each thread works on, so that they share it as they share the whole."""


@dataclass
class Run:
    """One job over a part. stages: seconds, of each stage. imports: bytes of memory as it began; peak: the
    most that was seen at the end of a stage. work_disk: the most bytes below `.forge`. outputs: bytes of the
    rows' files, of the ledger, of the page. manifest: its own."""

    pieces: Pieces
    stages: dict[str, float] = field(default_factory=dict)
    imports: int = 0
    peak: int = 0
    work_disk: int = 0
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


@dataclass(frozen=True)
class Sampled:
    """first: as the process met the job, its start included. small: the same again. large: more of it, or the
    whole. All three are one run where the first is of the whole. total: bytes of all inputs. seconds: that it
    took to look."""

    first: Run
    small: Run
    large: Run
    total: int
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
    first = run(min(FIRST, largest))
    small = first if first.pieces.whole else run(min(FIRST, largest))
    large, size, started = small, FIRST, time.monotonic()
    while not large.pieces.whole and size < largest:
        left = seconds - (time.monotonic() - started)
        fits = int(max(left, 0) * large.pieces.bytes / max(large.working, 1e-3))
        if fits < 2 * size:
            break
        size = min(largest, GROWTH * size, fits)
        large = run(size)
    return Sampled(
        first,
        small,
        large,
        total,
        budget,
        engines.name,
        engines.reason,
        time.monotonic() - began,
        engines.pools,
        tuple(f"{path}: only its beginning was looked at" for path in large.pieces.heads[:3]),
    )


def _worth(budget: Budget) -> int:
    """Bytes that give each thread some chunks."""
    return RANGES * budget.threads * budget.chunk_bytes


@dataclass
class Sampler:
    """Runs a job over parts of its inputs."""

    spec: JobSpec
    files: JobFiles
    budget: Budget
    engines: EngineFactory

    @property
    def is_streamed(self) -> bool:
        """Whether the whole is too large to be held in memory between the passes."""
        return (self.files.size or 0) > shares.SPOOL.of(self.budget.bytes)

    def __call__(self, most: int) -> Run:
        """Run the job over about so many bytes."""
        with TemporaryDirectory(prefix="forge-estimate-") as name:
            spec, files, pieces = self.of_part(most, Path(name))
            return _measured(spec, self.budget, self.engines, files, pieces)

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
            range_bytes=_range_bytes(pieces, self.budget) if not pieces.whole else self.spec.range_bytes,
        )
        files = JobFiles(spec)
        files.inputs, files.against = pieces.files, self.files.against
        return spec, files, pieces


def _range_bytes(pieces: Pieces, budget: Budget) -> int:
    return max(2**16, pieces.bytes // (RANGES * budget.threads))


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


def _measured(spec: JobSpec, budget: Budget, engines: EngineFactory, files: JobFiles, pieces: Pieces) -> Run:
    from forge_gpu.report.collect import ReportCollector

    run = Run(pieces)
    collector = ReportCollector([]) if spec.config.output.report else None

    def listen(event: Event) -> None:
        if collector is not None:
            collector(event)
        match event:
            case JobStarted():
                run.imports = resident_memory()
            case StageStarted() | StageDone():
                run.work_disk = max(run.work_disk, bytes_of(spec.output / FOLDER))
        if isinstance(event, StageDone):
            run.stages[event.stage] = run.stages.get(event.stage, 0.0) + event.seconds
        run.peak = max(run.peak, resident_memory())

    began = time.monotonic()
    run.manifest = prepare(spec, budget, engines, listen, never, files, collector).manifest
    run.stages["other"] = max(time.monotonic() - began - sum(run.stages.values()), 0.0)
    run.outputs = sum(file["bytes"] for file in run.manifest["outputs"])
    run.ledger = bytes_of(spec.output / LEDGER)
    run.page = bytes_of(spec.output / PAGE)
    return run


def never() -> None:
    """Nobody stops it."""


def bytes_of(path: Path) -> int:
    """Of a file, or of all files below a folder; of what goes meanwhile, none."""
    total = 0
    for each in path.rglob("*") if path.is_dir() else (path,):
        try:
            total += each.lstat().st_size if each.is_file() else 0
        except OSError:
            continue
    return total
