"""What was said of a job, left in the machine's rates for the run that comes. A run asks for it as it starts,
so that nothing is imported here that estimates."""

from __future__ import annotations

from forge_gpu.hardware.rates import Rates, read_rates, with_entry, write_rates
from forge_gpu.job.state.digests import job_of
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec


def note(spec: JobSpec, files: JobFiles, figures: dict[str, float], rates: Rates) -> None:
    """Leave the rates, and in them what was said."""
    name = job_of(spec, files.inputs, files.against)
    write_rates(rates.model_copy(update={"foretold": with_entry(rates.foretold, name, figures)}))


def foretold(spec: JobSpec, files: JobFiles) -> dict[str, float]:
    """What was said of this very job; empty where nothing was."""
    said = read_rates().foretold
    return dict(said.get(job_of(spec, files.inputs, files.against), {})) if said else {}
