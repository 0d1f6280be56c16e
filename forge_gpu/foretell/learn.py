"""A listener that notes in the machine's rates what a run took. Whatever hinders it is nobody's fault."""

from __future__ import annotations

from contextlib import suppress

from forge_gpu.hardware.rates import learned, read_rates, with_engine, with_entry, write_rates
from forge_gpu.job.events.dispatch import PACE
from forge_gpu.job.events.encode import Entry
from forge_gpu.job.events.events import ChunkDone, JobEnded, JobStarted, Sampled, StageDone
from forge_gpu.job.events.memory import resident_memory
from forge_gpu.job.state.digests import data_of, kind_of
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec

PASSES = ("index", "encode", "decide", "write", "finish", "verify")


class RunLearner:
    """Of one run. spec, files: of its job, once they are known; a run without them tells nothing."""

    name = "the rates of this machine"
    pace = PACE

    def __init__(self) -> None:
        self.spec: JobSpec | None = None
        self.files: JobFiles | None = None
        self._started: JobStarted | None = None
        self._stages: dict[str, float] = {}
        self._bytes = self._imports = self._peak = 0

    def __call__(self, entry: Entry) -> None:
        match entry.event:
            case JobStarted() as started:
                self._started, self._imports = started, resident_memory()
            case StageDone(stage=stage, seconds=seconds):
                self._stages[stage] = self._stages.get(stage, 0.0) + seconds
            case ChunkDone(stage="index", bytes_so_far=size, peak_memory=peak):
                self._bytes, self._peak = max(self._bytes, size), max(self._peak, peak)
            case ChunkDone(peak_memory=peak) | Sampled(memory=peak):
                self._peak = max(self._peak, peak)
            case JobEnded(was_finished=False) as ended:
                with suppress(Exception):  # a home that is full or gone is no fault of the run
                    self._learn(ended)

    def _learn(self, ended: JobEnded) -> None:
        started, spec, files = self._started, self.spec, self.files
        if started is None or spec is None or files is None or started.resumed or started.engine is None:
            return
        rates, engine = read_rates(), started.engine
        if spec.limit is None:
            known = {fate: float(rows) for fate, rows in ended.counts.items()}
            name = data_of(spec, files.inputs, files.against)
            rates = rates.model_copy(update={"known": with_entry(rates.known, name, known)})
        passes = sum(self._stages.get(stage, 0.0) for stage in PASSES)
        stages = self._stages | {"other": max(ended.seconds - sum(self._stages.values()), 0.0)}
        kind = kind_of(spec, files.inputs, engine, started.threads)
        rates = learned(rates, kind, self._bytes, stages, self._imports, self._peak)
        write_rates(with_engine(rates, engine, self._bytes, max(ended.seconds - passes, 0.0), passes))
