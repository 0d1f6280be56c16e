"""From what a sample took to what the whole will: the same stages, more of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from forge_gpu.foretell.duplicates import duplicates
from forge_gpu.foretell.interval import Interval, total
from forge_gpu.foretell.sample import Run, Sampled
from forge_gpu.hardware import shares
from forge_gpu.hardware.rates import Kind, Rates
from forge_gpu.job.output.space import DECIDED_OF_A_ROW

SHARED = ("index", "encode", "write")
"""Stages whose work goes to threads, or to workers."""
WORKERS = (1, 2, 4, 8, 16)
CLUSTER_START = 4.0
"""Seconds until the processes of a cluster have imported what they need."""
UNSURE = {True: 0.25, False: 0.5}
"""How far off seconds are, where runs of the same kind were measured here, and where not."""
SPLITS = ("train", "validation", "test")
DUPLICATES = ("duplicate", "near_duplicate")
NOTHING = Interval.exact(0.0)
UNSEEN = 0.02
"""What a sample does not see of lengths, beside chance."""


@dataclass(frozen=True)
class Estimate:
    """What a job will take, and what will come of it.

    stages: seconds of each; seconds: of all, with the start. workers: processes of a cluster -> seconds.
    memory: bytes that the process holds at most. disk: bytes of the files of rows; of all outputs; of index
    and spool while the job runs; of both together at the most. rows: by fate, and of all. duplicates: what
    goes as duplicates, between bounds that hold whatever a sample may see; known: whether an earlier run has
    told it. tokens: written and trained, packs and how full they are (0 to 1); None for texts. vram: bytes
    of GPU memory; None on the CPU. sampled: bytes, rows and seconds of the look. bytes: of input. refusals:
    why it will not fit.
    """

    bytes: int
    engine: str
    engine_reason: str
    threads: int
    chunk_bytes: int
    stages: dict[str, Interval]
    seconds: Interval
    workers: dict[int, float]
    memory: Interval
    disk: dict[str, Interval]
    rows: dict[str, Interval]
    duplicates: Interval
    duplicates_known: bool
    tokens: dict[str, Interval] | None
    packs: dict[str, Interval] | None
    vram: Interval | None
    sampled: dict[str, float]
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As values of JSON."""
        return asdict(self) | {"workers": {str(number): spent for number, spent in self.workers.items()}}

    @property
    def figures(self) -> dict[str, float]:
        """What a run is compared with."""
        figures = {
            "seconds": self.seconds.value - self.stages.get("report", NOTHING).value,
            "peak_memory": self.memory.value,
            "output_bytes": self.disk["files"].value,
            "rows": sum(self.rows[split].value for split in SPLITS),
        }
        return figures | ({} if self.tokens is None else {"tokens": self.tokens["tokens"].value})


def predict(sampled: Sampled, rates: Rates, kind: str, known: Mapping[str, float] | None) -> Estimate:
    """The whole from a sample. kind: the key of the job's kind in the rates. known: rows by fate of the last
    run of this data with what decides fates."""
    large = sampled.large
    whole = Whole(sampled, rates.kinds.get(kind), known)
    stages = whole.stages()
    seconds = total(list(stages.values()))
    return Estimate(
        bytes=sampled.total,
        engine=sampled.engine,
        engine_reason=sampled.engine_reason,
        threads=sampled.budget.threads,
        chunk_bytes=sampled.budget.chunk_bytes,
        stages=stages,
        seconds=seconds,
        workers=_on_workers(stages, sampled.budget.threads),
        memory=whole.memory(),
        disk=whole.disk(),
        rows=whole.rows,
        duplicates=whole.duplicates,
        duplicates_known=known is not None,
        tokens=whole.tokens(),
        packs=whole.packs(),
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
        """Seconds of each stage, and of the start."""
        first, small, large = self.sampled.first, self.sampled.small, self.run
        size = self.sampled.total
        known = self.kind.stages if self.kind and 4 * self.kind.bytes >= size else {}
        unsure = UNSURE[bool(known)]
        start = (
            0.0 if known else max(first.seconds - small.seconds, 0.0)
        )  # what is known has it in its stages
        result = {"start": Interval.within(start, UNSURE[False])}
        for stage, spent in large.stages.items():
            before = small.stages.get(stage, 0.0)
            slope = (spent - before) / max(large.pieces.bytes - small.pieces.bytes, 1)
            slope = max(slope, 0.0) if large is not small else 0.0
            beyond = max(size - large.pieces.bytes, 0)
            seconds = spent + slope * beyond
            if stage in known and not self.is_whole:
                seconds = max(known[stage] * size, min(before, seconds))
            result[stage] = Interval.within(seconds, unsure)
        return result

    def memory(self) -> Interval:
        """Imports, what the sample took beside them, and what grows with the rows."""
        peak = max(self.sampled.first.peak, self.sampled.small.peak, self.run.peak)
        imports = self.sampled.first.imports
        work = max(peak - imports, 0)
        if not self.is_whole:
            work += self._beyond_sample()
        if self.kind is not None and 4 * self.kind.bytes >= self.sampled.total > 0 and self.kind.work:
            work = int(self.kind.work)
        if self.kind is not None and self.kind.imports:
            imports = int(self.kind.imports)
        return Interval.within(imports + work, 0.2)

    def _beyond_sample(self) -> int:
        """Chunks in the hands of threads that the sample did not fill, input that is held, decisions."""
        budget, size = self.sampled.budget, self.sampled.total
        held = shares.SPOOL.of(budget.bytes)
        seen = min(self.run.pieces.bytes, held)
        input_held = max(size - seen, 0) if size <= held else 0
        decided = DECIDED_OF_A_ROW * (self.rows["all"].value - self.total)
        chunk = max(budget.threads * budget.chunk_bytes - self.run.pieces.bytes, 0)
        return int(input_held + decided + chunk)

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
        return {"files": lines, "outputs": outputs, "work": work, "peak": outputs + work}

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


def _on_workers(stages: Mapping[str, Interval], threads: int) -> dict[int, float]:
    """Seconds on so many processes of one thread each: what goes to threads goes to them."""
    shared = sum(stages[stage].value for stage in SHARED if stage in stages) * threads
    alone = sum(spent.value for spent in stages.values()) - shared / threads
    return {number: alone + CLUSTER_START + shared / number for number in WORKERS}


def _vram(sampled: Sampled) -> Interval | None:
    """What the pools of the devices may grow to, and begin with."""
    if sampled.engine != "gpu" or not sampled.vram:
        return None
    most = float(sum(sampled.vram))
    return Interval(most, float(shares.POOL_AT_START.of(int(most))), most)
