"""What a job will take: looked up, looked at, and noted for the run that comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from forge_gpu.errors import InputError, OutputError
from forge_gpu.foretell.names import data_of, kind_of
from forge_gpu.foretell.noted import note as leave
from forge_gpu.foretell.predict import Estimate, predict
from forge_gpu.foretell.sample import sample
from forge_gpu.hardware.host import Memory, read_memory
from forge_gpu.hardware.rates import read_rates
from forge_gpu.io.disk import free_space, size_text
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
    kind = kind_of(spec, files.inputs, sampled.engine, sampled.budget.threads)
    is_whole = sampled.large.pieces.whole  # and has told itself what goes
    known = None if is_whole else rates.known.get(data_of(spec, files.inputs, files.against))
    made = predict(sampled, rates, kind, known)
    made = replace(made, refusals=tuple(refusals(made, spec.output, read_memory())))
    if note:
        leave(spec, files, made.figures)
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
    return lines


def require_fit(made: Estimate) -> None:
    """Raise OutputError, with the reasons, where a job will not fit."""
    if made.refusals:
        raise OutputError("\n".join(made.refusals))
