"""What a job will take: looked up, looked at, and noted for the run that comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from forge_gpu.errors import InputError, OutputError
from forge_gpu.foretell.apart import has_compiled, sample_apart
from forge_gpu.foretell.launch import launch
from forge_gpu.foretell.noted import note as leave
from forge_gpu.foretell.predict import Estimate, predict
from forge_gpu.foretell.sample import sample
from forge_gpu.hardware.host import Memory, read_memory
from forge_gpu.hardware.rates import read_rates
from forge_gpu.io.disk import free_space, is_in_memory, size_text
from forge_gpu.job.state.digests import data_of, kind_of
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec

SECONDS = 5.0
"""That a look may take."""


def foretell(spec: JobSpec, seconds: float = SECONDS, most: int | None = None, note: bool = True) -> Estimate:
    """What a job will take, from about so many seconds of it. most: bytes of input to look at. note: leave it
    for the run to compare itself with. Raises ForgeError."""
    if spec.limit is not None:
        raise InputError("a limit is a job of a few rows: run it, that is the estimate")
    files, rates = JobFiles(spec), read_rates()
    sampled = sample(spec, files, seconds, most)
    if has_compiled():
        sampled = sample_apart(spec, seconds, most) or sampled
    kind = kind_of(spec, files.inputs, sampled.engine, sampled.budget.threads)
    is_whole = sampled.large.pieces.whole  # and has told itself what goes
    known = None if is_whole else rates.known.get(data_of(spec, files.inputs, files.against))
    loading, rates = launch(rates, spec.config)
    made = predict(sampled, loading, rates.kinds.get(kind), known)
    notes = (*made.notes, *_where(made, spec.output))
    made = replace(made, notes=notes, refusals=tuple(refusals(made, spec.output, read_memory())))
    if note:
        leave(spec, files, made.figures, rates)
    return made


def refusals(made: Estimate, output: Path, memory: Memory | None) -> list[str]:
    """Why a job will not fit, a line each: even the low end of what it takes is more than there is."""
    lines = []
    free = free_space(output)
    if made.disk["peak"].low > free:
        lines.append(
            f"{output}: outputs, index and spool will take {size_text(int(made.disk['peak'].value))}, "
            f"{size_text(free)} are free; free some space or choose another folder"
        )
    if memory is not None and made.memory.low > memory.total:
        lines.append(
            f"the job will hold {size_text(int(made.memory.value))} of memory, and this machine lets a "
            f"process use {size_text(memory.total)}; set preprocessing.memory.budget to less"
        )
    elif memory is not None and is_in_memory(output):
        both = made.memory + made.disk["peak"]
        if both.low > memory.total:
            lines.append(
                f"{output}: lies in memory, so that outputs, index and spool take it beside the job: "
                f"{size_text(int(both.value))} of {size_text(memory.total)}; choose a folder on a disk"
            )
    return lines


def _where(made: Estimate, output: Path) -> list[str]:
    """What there is to say of the place of outputs, index and spool."""
    if not is_in_memory(output):
        return []
    size = size_text(int(made.disk["peak"].value))
    return [f"{output}: lies in memory: outputs, index and spool take {size} of it beside the job's"]


def require_fit(made: Estimate) -> None:
    """Raise OutputError, with the reasons, where a job will not fit."""
    if made.refusals:
        raise OutputError("\n".join(made.refusals))
