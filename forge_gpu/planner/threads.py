"""How many threads a job is to have, where runs of its kind on this machine tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from forge_gpu.config.schema import Config
from forge_gpu.hardware.rates import WORTH_MEASURING, Kind, Rates
from forge_gpu.io.inputs import InputFile
from forge_gpu.job.state.digests import kind_of
from forge_gpu.job.state.spec import JobSpec

SAVED = 0.1
"""Of a job's seconds: what is to be saved for a plan to have other threads than there are cores."""


def decide_threads(
    config: Config, files: Sequence[InputFile], most: int, rates: Rates
) -> tuple[int, str] | None:
    """(threads, why); None where no run here tells more than the cores do. most: threads that a job has
    otherwise. What it makes is the same with any."""
    size = sum(file.size or 0 for file in files)
    spec = JobSpec(config, Path(), Path())
    engine = "gpu" if config.hardware.use_gpu_preprocessing else "cpu"
    known = {
        threads: kind
        for threads in range(1, most + 1)
        if (kind := rates.kinds.get(kind_of(spec, files, engine, threads)))
        and kind.bytes >= WORTH_MEASURING
        and kind.is_about(size)
    }
    return _fastest(known, most, size)


def _fastest(known: Mapping[int, Kind], most: int, size: int) -> tuple[int, str] | None:
    if most not in known or len(known) < 2:
        return None
    seconds = {threads: sum(kind.stages.values()) * size / kind.bytes for threads, kind in known.items()}
    best = min(seconds, key=lambda threads: (seconds[threads], threads))
    if seconds[best] > (1 - SAVED) * seconds[most]:
        return None
    took = ", ".join(f"{spent:.1f} s with {threads}" for threads, spent in seconds.items())
    return best, f"runs of this kind here, for so much input: {took}"
