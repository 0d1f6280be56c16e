"""The first event that says which job this is."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

from forge_gpu._version import __version__
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.hardware.budget import Budget
from forge_gpu.io.secrets import public_values
from forge_gpu.job.events.events import JobStarted
from forge_gpu.job.state.spec import JobSpec


def job_started(spec: JobSpec, key: str, budget: Budget, engines: object, resumed: bool) -> JobStarted:
    """key: the digest of the job's key. engines: what makes the job's engines."""
    chosen = engines if isinstance(engines, EngineFactory) else None
    return JobStarted(
        "open",
        key,
        public_values(spec.to_dict()),
        chosen.name if chosen else None,
        chosen.reason if chosen else None,
        budget.bytes,
        budget.threads,
        resumed,
        {"forge": __version__, "python": platform.python_version(), **libraries()},
    )


@cache
def libraries() -> dict[str, str]:
    """Versions of what the bytes and the speed of a run may depend on."""
    return {library: metadata.version(library) for library in ("numpy", "numba", "pyarrow")}
