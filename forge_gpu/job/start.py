"""A job from its description alone: the budget and the engines that this machine has for it, then the job."""

from __future__ import annotations

from collections.abc import Callable

from forge_gpu.engine.choose import EngineFactory, engine_factory
from forge_gpu.hardware.budget import Budget, cpu_budget
from forge_gpu.hardware.gpus import most_free
from forge_gpu.hardware.host import read_cores, read_memory
from forge_gpu.job.events.dispatch import Dispatcher
from forge_gpu.job.events.retry import telling
from forge_gpu.job.output.collector import Collector
from forge_gpu.job.output.result import Result
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec


def run(
    spec: JobSpec,
    dispatcher: Dispatcher,
    check_stop: Callable[[], None],
    files: JobFiles | None = None,
    collector: Collector | None = None,
) -> Result:
    """Run the job here and return what came out. files: those of `spec`, where they are known already.
    collector: sees some of the rows.

    Raises ForgeError.
    """
    files = files or JobFiles(spec, telling("open", dispatcher))
    budget, engines = engines_for(spec, files)
    dispatcher.sampler.watch(engines.gpus)
    return prepare(spec, budget, engines, dispatcher, check_stop, files, collector)


def engines_for(spec: JobSpec, files: JobFiles) -> tuple[Budget, EngineFactory]:
    """The memory budget of a job on this machine, and what makes its engines."""
    memory = spec.config.preprocessing.memory
    host = read_memory()
    engines = engine_factory(spec.config.preprocessing.engine, lambda: files.size)
    if spec.workers is not None:
        engines.gpus = most_free(engines.gpus, max(spec.workers, 1))  # a worker takes one
    available = host.available if host is not None and memory.budget == "auto" else None
    budget = cpu_budget(host, read_cores(), memory.budget, memory.threads)
    return engines.budget(budget, available), engines
