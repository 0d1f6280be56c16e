"""From what a sample took to what the whole will: the same stages, more of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from forge_gpu.foretell.duplicates import duplicates
from forge_gpu.foretell.interval import Interval, total
from forge_gpu.foretell.sample import WORKING, Run, Sampled
from forge_gpu.hardware import shares
from forge_gpu.hardware.host import read_memory
from forge_gpu.hardware.rates import Kind, Launch
from forge_gpu.job.decide.mixture import lacking_repeats
from forge_gpu.job.output.space import DECIDED_OF_A_ROW
from forge_gpu.plain import frozen

OUTSIDE = ("launch", "report")
"""Stages that a run does not see when it compares itself with what was said."""
SHARED = ("index", "encode", "write")
"""Stages whose work goes to threads, or to workers."""
GROWING = (*WORKING, "open", "finish")
"""Stages that take longer the more bytes there are: what is compressed is decoded as it is opened."""
WORKERS = (1, 2, 4, 8, 16)
CLUSTER_START = 4.0
"""Seconds until the processes of a cluster have imported what they need."""
UNSURE = {True: 0.25, False: 0.5}
"""How far off seconds are, where runs of the same kind were measured here, and where not."""
SPLITS = ("train", "validation", "test")
DUPLICATES = ("duplicate", "near_duplicate")
UNSEEN = 0.02
"""What a sample does not see of lengths, beside chance."""


@frozen
class Estimate:
    """What a job will take, and what will come of it.

    stages: seconds of each; seconds: of all, from when the command is given to its end: `launch` is what a
    process loads before a job. cpu: seconds of processors, of each stage.
    workers: processes of a cluster -> seconds.
    memory: bytes that the process holds at most. disk: bytes of the files of rows; of all outputs; of index
    and spool while the job runs; of both together at the most. rows: by fate, and of all. duplicates: what
    goes as duplicates, between bounds that hold whatever a sample may see; known: whether an earlier run has
    told it. tokens: written and trained, packs and how full they are (0 to 1); None for texts. repeats: of
    inputs of a mixture that come less often than would suffice for all rows of the others, how often that is.
    vram: bytes of GPU memory; None on the CPU. sampled: bytes, rows and seconds of the look. bytes: of input.
    refusals: why it will not fit.
    """

    bytes: int
    engine: str
    engine_reason: str
    threads: int
    chunk_bytes: int
    stages: dict[str, Interval]
    seconds: Interval
    cpu: dict[str, Interval]
    workers: dict[int, float]
    memory: Interval
    disk: dict[str, Interval]
    rows: dict[str, Interval]
    duplicates: Interval
    duplicates_known: bool
    tokens: dict[str, Interval] | None
    packs: dict[str, Interval] | None
    repeats: dict[str, int]
    vram: Interval | None
    sampled: dict[str, float]
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As values of JSON."""
        return asdict(self) | {"workers": {str(number): spent for number, spent in self.workers.items()}}

    @property
    def figures(self) -> dict[str, float]:
        """What a run is compared with, which sees itself from where its job begins to its manifest."""
        figures = {
            "seconds": _of_job(self.stages),
            "cpu_seconds": _of_job(self.cpu),
            "peak_memory": self.memory.value,
            "output_bytes": self.disk["files"].value,
            "rows": sum(self.rows[split].value for split in SPLITS),
        }
        return figures | ({} if self.tokens is None else {"tokens": self.tokens["tokens"].value})


def _of_job(stages: Mapping[str, Interval]) -> float:
    return sum(spent.value for stage, spent in stages.items() if stage not in OUTSIDE)


def predict(
    sampled: Sampled, launch: Launch, kind: Kind | None, known: Mapping[str, float] | None
) -> Estimate:
    """The whole from a sample. kind: what jobs of its kind took. known: rows by fate of the last run of this
    data with what decides fates."""
    large = sampled.large
    whole = Whole(sampled, kind, known)
    stages = {"launch": Interval.within(launch.seconds, UNSURE[False]), **whole.stages()}
    cpu = {"launch": Interval.within(launch.cpu, UNSURE[False]), **whole.cpu()}
    seconds = total(list(stages.values()))
    return Estimate(
        bytes=sampled.total,
        engine=sampled.engine,
        engine_reason=sampled.engine_reason,
        threads=sampled.budget.threads,
        chunk_bytes=sampled.budget.chunk_bytes,
        stages=stages,
        seconds=seconds,
        cpu=cpu,
        workers=on_workers(stages, cpu),
        memory=whole.memory(),
        disk=whole.disk(),
        rows=whole.rows,
        duplicates=whole.duplicates,
        duplicates_known=known is not None,
        tokens=whole.tokens(),
        packs=whole.packs(),
        repeats=lacking_repeats(large.manifest),
        vram=_vram(sampled),
        sampled={
            "bytes": large.pieces.bytes,
            "share": large.pieces.share,
            "rows": large.manifest["rows"],
            "seconds": sampled.seconds,
        },
        notes=sampled.notes,
    )


class Whole:
    """The sums of one prediction."""

    def __init__(self, sampled: Sampled, kind: Kind | None, known: Mapping[str, float] | None) -> None:
        self.sampled, self.kind, self.known = sampled, kind, known
        self.run: Run = sampled.large
        self.share = min(self.run.pieces.share or 1.0, 1.0)
        self.is_whole = self.run.pieces.whole
        counts = self.run.manifest["counts"]
        self.total = sum(counts.values())
        seen = sum(counts[fate] for fate in DUPLICATES)
        of_known = None if known is None else sum(known.get(fate, 0.0) for fate in DUPLICATES)
        self.duplicates = duplicates(
            seen, self.total, self.share, self.total / self.run.pieces.places, of_known
        )
        self.rows = self._rows(counts)

    def _rows(self, counts: Mapping[str, int]) -> dict[str, Interval]:
        if self.known is not None:
            rows = {fate: Interval.exact(self.known.get(fate, 0.0)) for fate in counts}
        else:
            rows = {fate: Interval.of_count(count, self.share) for fate, count in counts.items()}
            for split in SPLITS:
                if self.total and not self.is_whole:
                    own = rows[split]
                    gone = self._gone() * counts[split] / max(self._written(counts), 1)
                    rows[split] = Interval(own.value, max(own.low - gone, 0.0), own.high)
        rows["all"] = total(list(rows.values())) if self.known else Interval.of_count(self.total, self.share)
        return rows

    def _gone(self) -> float:
        """Rows that may go as duplicates beside those that are expected to."""
        return self.duplicates.high - self.duplicates.value

    def _written(self, counts: Mapping[str, float]) -> float:
        return sum(counts[split] for split in SPLITS)

    @property
    def growth(self) -> Interval:
        """What is written of the whole, of a byte, token or line that was written of the sample."""
        written = total([self.rows[split] for split in SPLITS])
        seen = max(self._written(self.run.manifest["counts"]), 1)
        of_rows = written.times(1 / seen)
        spread = 0.0 if self.is_whole else UNSEEN
        return Interval(of_rows.value, of_rows.low * (1 - spread), of_rows.high * (1 + spread))

    def stages(self) -> dict[str, Interval]:
        """Seconds of each stage."""
        unsure = UNSURE[self.known_kind is not None]
        grown = self._grown(lambda run: run.stages, self.known_kind)
        if self.known_kind is None and not self.is_whole and "index" in grown:
            grown["index"] *= unevenness(self.sampled.ranges, self.sampled.budget.threads)
        return {stage: Interval.within(seconds, unsure) for stage, seconds in grown.items()}

    def cpu(self) -> dict[str, Interval]:
        """Seconds of processors, likewise."""
        grown = self._grown(lambda run: run.cpu, None)
        return {stage: Interval.within(seconds, UNSURE[False]) for stage, seconds in grown.items()}

    @property
    def known_kind(self) -> Kind | None:
        """What the last jobs of this kind took, where they were of about this size."""
        return self.kind if self.kind is not None and self.kind.is_about(self.sampled.total) else None

    def _grown(self, spent_of: Callable[[Run], dict[str, float]], known: Kind | None) -> dict[str, float]:
        """Seconds of each stage of the whole: what its first rows alone take, and what all do. known: the
        jobs that were; what more bytes take beside theirs, or fewer, the look tells."""
        size = self.sampled.total
        first, small, large = (spent_of(run) for run in (self.sampled.first, self.sampled.small, self.run))
        apart = self.run.pieces.bytes - self.sampled.small.pieces.bytes
        result = {}
        for stage, spent in large.items():
            before = small.get(stage, 0.0)
            if apart > 0:
                slope = max(spent - before, 0.0) / apart
            else:  # of one size alone: what it took is taken for what its bytes take
                slope = spent / max(self.run.pieces.bytes, 1) if stage in GROWING else 0.0
            if known is not None and stage in known.stages:
                result[stage] = max(known.stages[stage] + slope * (size - known.bytes), min(spent, before))
            else:
                once = max(first.get(stage, 0.0) - before, 0.0)
                result[stage] = once + spent + slope * max(size - self.run.pieces.bytes, 0)
        return result

    def memory(self) -> Interval:
        """Imports, what the first look took beside them, which found the process as a run does; what more
        bytes took than few; and what grows with the rows."""
        first, small, large = self.sampled.first, self.sampled.small, self.run
        imports = first.imports
        work = first.peak - imports + max((large.peak - large.imports) - (small.peak - small.imports), 0)
        if not self.is_whole:
            work += self._beyond_sample()
        if (known := self.known_kind) is not None:
            more = self._held(self.sampled.total) - self._held(int(known.bytes))
            imports, work = int(known.imports), max(int(known.work) + more, 0)
        return Interval.within(imports + work, 0.2)

    def _beyond_sample(self) -> int:
        """Chunks in the hands of threads that the sample did not fill, input that is held, decisions."""
        budget, size = self.sampled.budget, self.sampled.total
        input_held = max(self._held(size) - self.run.pieces.bytes, 0)
        decided = DECIDED_OF_A_ROW * (self.rows["all"].value - self.total)
        chunk = max(budget.threads * budget.chunk_bytes - self.run.pieces.bytes, 0)
        return int(input_held + decided + chunk)

    def _held(self, size: int) -> int:
        """Bytes of so many of input that are held between the passes: all, or none."""
        return size if size <= shares.SPOOL.of(self.sampled.budget.bytes) else 0

    def disk(self) -> dict[str, Interval]:
        """Bytes: outputs with the ledger and the page, index and spool, both."""
        run, growth = self.run, self.growth
        lines = growth.times(run.outputs)
        ledger = Interval.within(run.ledger / self.share, 0.0 if self.is_whole else 0.1)
        outputs = lines + ledger + Interval.exact(run.page)
        small = self.sampled.small
        fixed = 0.0
        if run is not small:
            slope = (run.work_disk - small.work_disk) / max(run.pieces.share - small.pieces.share, 1e-12)
            fixed = max(small.work_disk - max(slope, 0.0) * small.pieces.share, 0.0)
            fixed = min(fixed, run.work_disk)
        work = Interval.within(fixed + (run.work_disk - fixed) / self.share, 0.0 if self.is_whole else 0.15)
        work += self._kept()
        return {"files": lines, "outputs": outputs, "work": work, "peak": outputs + work}

    def _kept(self) -> Interval:
        """Bytes of tables that are kept as they were decoded, where there is room: a job can do without."""
        most = min(self.run.kept / self.share, shares.KEPT.of(read_memory().available))
        return Interval(most, 0.0, most)

    def tokens(self) -> dict[str, Interval] | None:
        sums = self.run.manifest.get("tokens")
        if sums is None:
            return None
        return {name: self.growth.times(sums[name]) for name in ("tokens", "trained", "cut", "dropped")}

    def packs(self) -> dict[str, Interval] | None:
        made = self.run.manifest.get("packs")
        if made is None:
            return None
        splits = made["splits"].values()
        count = sum(split["packs"] for split in splits)
        fill = sum(split["tokens"] for split in splits) / max(count * made["length"], 1)
        return {"packs": self.growth.times(count), "fill": Interval.exact(min(fill, 1.0))}


def unevenness(ranges: Sequence[int], threads: int) -> float:
    """By how much longer the last thread works than each would if ranges of any length were shared evenly:
    threads take whole ones, in their order."""
    if len(ranges) < 2:
        return 1.0
    threads = min(threads, len(ranges))
    loads = [0] * threads
    for size in ranges:
        loads[loads.index(min(loads))] += size
    return max(loads) * threads / sum(loads)


def on_workers(stages: Mapping[str, Interval], cpu: Mapping[str, Interval]) -> dict[int, float]:
    """Seconds on so many processes of one thread each: what goes to threads goes to them, and none of them
    waits for another's Python, so that it is done when the processors have done it."""
    shared = [stage for stage in SHARED if stage in stages]
    alone = sum(spent.value for stage, spent in stages.items() if stage not in shared)
    work = sum(cpu[stage].value for stage in shared)
    return {number: alone + CLUSTER_START + work / number for number in WORKERS}


def _vram(sampled: Sampled) -> Interval | None:
    """What the pools of the devices may grow to, and begin with."""
    if sampled.engine != "gpu" or not sampled.vram:
        return None
    most = float(sum(sampled.vram))
    return Interval(most, float(shares.POOL_AT_START.of(int(most))), most)
