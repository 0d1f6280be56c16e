"""Forge as a library: `plan`, `prepare`, `stream`, `open_engine`. Prints nothing, installs no handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forge_gpu.config.schema import Config
from forge_gpu.errors import NoPlanError
from forge_gpu.job.events import Event, Listener

if TYPE_CHECKING:
    import pyarrow as pa

    from forge_gpu.engine.base import Engine
    from forge_gpu.job.result import Result
    from forge_gpu.job.spec import JobSpec
    from forge_gpu.planner.plan import Plan

PLAN_FILE = "forge.yaml"
NO_PLAN = "No plan found. Run 'forge plan' first."


def ignore(event: Event) -> None:
    """A listener that hears nothing."""


def plan(
    goal: str | None = None,
    *,
    data: Sequence[str | Path] | str | Path = (),
    model: str | Path | None = None,
    template: str | Path | None = None,
    engine: str | None = None,
    settings: Sequence[str] = (),
) -> Plan:
    """Look at this machine, the data and the goal, and choose every setting; nothing is written.

    The arguments are those of `forge plan`; `settings` are its `--set`. The result's `config` goes to
    `prepare`, its `save(path)` writes forge.yaml, its `reasons` say why each value was chosen.
    Raises ForgeError: InputError, TemplateError, ConfigError.
    """
    from forge_gpu.planner.plan import make_plan

    return make_plan(goal, data=data, model=model, template=template, engine=engine, overrides=settings)


def prepare(
    config: Config | str | Path = PLAN_FILE,
    *,
    data: Sequence[str | Path] | None = None,
    output: str | Path = "prepared",
    settings: Sequence[str] = (),
    threads: int | None = None,
    limit: int | None = None,
    strict: bool = False,
    fresh: bool = False,
    wait: float | None = None,
    on_event: Listener = ignore,
    check_stop: Callable[[], None] = lambda: None,
) -> Result:
    """Run a plan and return what came out.

    config: a Config, or the path of a forge.yaml. data: inputs instead of the plan's. settings:
    `section.key=value` overrides, as `--set`. threads: at most so many; no more than the cores allowed.
    limit: rows to take from the start. strict: raise at the first rejected row. fresh: forget what an
    earlier run left. wait: seconds to wait for another run on the same output, None for no bound.
    on_event: hears every event of the job. check_stop: called between ranges; raises to stop.

    Raises ForgeError: NoPlanError without a plan, ConfigError, InputError, TemplateError, OutputError,
    StrictError, ValidationError.
    """
    from forge_gpu.job.prepare import prepare as prepare_job

    spec, warnings = job_spec(config, data, output, settings, limit, strict, fresh, wait)
    for warning in warnings:
        on_event(warning)
    budget = _budget(spec.config, threads)
    return prepare_job(spec, budget, _make_engine(spec.config), on_event, check_stop)


def stream(
    config: Config | str | Path = PLAN_FILE,
    *,
    split: str = "train",
    data: Sequence[str | Path] | None = None,
    settings: Sequence[str] = (),
    threads: int | None = None,
    batch_rows: int = 8192,
    on_event: Listener = ignore,
) -> Iterator[pa.RecordBatch]:
    """The rows of one split as Arrow batches of at most `batch_rows`, without writing an output folder.

    The rows, their order and their bytes are those that `prepare` writes. The input is indexed first (so
    that duplicates and splits are decided), in a temporary folder; then it is read again as batches are
    taken. Columns have the types of `Result.splits[...].iter_batches`. Raises ForgeError.
    """
    from forge_gpu.job.streaming import stream as stream_job

    spec, warnings = job_spec(config, data, ".", settings, None, False, False, None)
    for warning in warnings:
        on_event(warning)
    budget = _budget(spec.config, threads)
    return stream_job(spec, budget, _make_engine(spec.config), split, batch_rows, on_event)


def job_spec(
    config: Config | str | Path,
    data: Sequence[str | Path] | None,
    output: str | Path,
    settings: Sequence[str],
    limit: int | None,
    strict: bool,
    fresh: bool,
    wait: float | None,
) -> tuple[JobSpec, list[Event]]:
    """The job that the arguments of `prepare` describe, and warnings of what was corrected in the plan."""
    from forge_gpu.config.load import Layer, build, load, override_layer
    from forge_gpu.job.events import Warned
    from forge_gpu.job.spec import JobSpec

    base = Path.cwd()
    if isinstance(config, Config):
        loaded = build([Layer(config.model_dump()), override_layer(settings)])
    else:
        path = Path(config)
        if not path.exists():
            raise NoPlanError(
                NO_PLAN if str(config) == PLAN_FILE else f"{path}: no such plan; run 'forge plan' first"
            )
        loaded = load(path, overrides=settings)
        base = path.absolute().parent
    plan = loaded.config
    if data is not None:
        base = Path.cwd()
        inputs = [str(path) for path in data]
        plan = plan.model_copy(update={"data": plan.data.model_copy(update={"inputs": inputs})})
    warnings: list[Event] = [Warned("plan", warning) for warning in loaded.warnings]
    return JobSpec(plan, base, Path(output), limit, strict, fresh, wait), warnings


def _budget(config: Config, threads: int | None) -> Any:
    from forge_gpu.hardware.budget import cpu_budget
    from forge_gpu.hardware.host import read_cores, read_memory

    memory = config.preprocessing.memory
    wanted = memory.threads if threads is None else threads
    return cpu_budget(read_memory(), read_cores(), memory.budget, wanted)


def _make_engine(config: Config) -> Callable[[], Engine]:
    from forge_gpu.engine.choose import engine_factory

    return engine_factory(config.preprocessing.engine)


def summary(result: Result) -> Mapping[str, Any]:
    """What `forge prepare --json` prints."""
    return {
        "output": str(result.output),
        "counts": result.counts,
        "used_streaming": result.used_streaming,
        "peak_memory": result.peak_memory,
        "was_finished": result.was_finished,
    }
