"""Forge as a library: `plan`, `prepare`, `stream`, `open_engine`. Prints nothing, installs no handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError, NoPlanError
from forge_gpu.job.events.events import Event, Listener

if TYPE_CHECKING:
    import pandas as pd

    from forge_gpu.engine.choose import EngineFactory
    from forge_gpu.frames.engine import FrameEngine
    from forge_gpu.hardware.budget import Budget
    from forge_gpu.job.output.result import Result
    from forge_gpu.job.state.spec import JobSpec
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
    data: Sequence[str | Path] | str | Path | None = None,
    against: Sequence[str | Path] | str | Path | None = None,
    output: str | Path = "prepared",
    settings: Sequence[str] = (),
    threads: int | None = None,
    limit: int | None = None,
    strict: bool = False,
    fresh: bool = False,
    wait: float | None = None,
    staging: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_event: Listener = ignore,
    check_stop: Callable[[], None] = lambda: None,
) -> Result:
    """Run a plan and return what came out.

    config: a Config, or the path of a forge.yaml. data: inputs instead of the plan's. against: evaluation
    files instead of the plan's; rows that are near or equal to theirs are left out. settings:
    `section.key=value` overrides, as `--set`. threads: at most so many; no more than the cores allowed.
    limit: rows to take from the start. strict: raise at the first rejected row. fresh: forget what an
    earlier run left. wait: seconds to wait for another run on the same output, None for no bound.
    output: a folder, or a URL of a store that fsspec knows; staging: the folder in which output for a URL is
    made before it is uploaded, below .forge-upload if None.
    workers: processes of a Dask cluster made for the job on this machine (a script that asks for them must
    be importable: keep what it does under `if __name__ == "__main__":`). scheduler: the address of a running
    cluster, whose workers see the inputs and the output folder by the same names. on_event: hears every event
    of the job. check_stop: called between ranges, or parts of them; raises to stop.

    Raises ForgeError: NoPlanError without a plan, ConfigError, InputError, TemplateError, OutputError,
    StrictError, ValidationError.
    """
    from forge_gpu.job.output.publish import place_of
    from forge_gpu.job.prepare import prepare as prepare_job

    if workers is not None and scheduler is not None:
        raise ConfigError("workers and scheduler: name one; a running cluster has its own workers")
    folder, destination = place_of(output, staging)
    spec, warnings = job_spec(config, data, folder, settings, limit, strict, fresh, wait, against)
    spec = replace(spec, destination=destination, workers=workers, scheduler=scheduler)
    for warning in warnings:
        on_event(warning)
    budget, engines = _engines(spec, threads)
    return prepare_job(spec, budget, engines, on_event, check_stop)


def stream(
    config: Config | str | Path = PLAN_FILE,
    *,
    split: str = "train",
    data: Sequence[str | Path] | str | Path | None = None,
    settings: Sequence[str] = (),
    threads: int | None = None,
    batch_rows: int = 8192,
    as_: Literal["arrow", "pandas", "cudf"] = "arrow",
    on_event: Listener = ignore,
) -> Iterator[Any]:
    """The rows of one split as Arrow batches of at most `batch_rows`, without writing an output folder.

    The rows, their order and their bytes are those that `prepare` writes. The input is indexed first (so
    that duplicates and splits are decided), in a temporary folder; then it is read again as batches are
    taken. Columns have the types of `Result.splits[...].iter_batches`. as_: pandas gives frames of Arrow
    columns instead of batches, cudf frames on the GPU. Raises ForgeError.
    """
    from forge_gpu.frames.batches import batches_as
    from forge_gpu.job.streaming import stream as stream_job

    convert = batches_as(as_)

    spec, warnings = job_spec(config, data, ".", settings, None, False, False, None)
    for warning in warnings:
        on_event(warning)
    budget, engines = _engines(spec, threads)
    batches = stream_job(spec, budget, engines, split, batch_rows, on_event)
    return batches if as_ == "arrow" else (convert(batch) for batch in batches)


def open_engine(
    engine: str = "auto", memory: int | None = None, threads: int | None = None
) -> FrameEngine[pd.DataFrame, pd.Series]:
    """The engine for frames in memory: `render`, `reasons`, `check`, `deduplicate`, `duplicate_of`,
    `near_duplicates`, `against`, `split` and `mix`.

    engine: auto, cpu or gpu. What kind of frame goes into a method comes out: of pandas, polars, pyarrow,
    datasets, a list of dictionaries, and on a GPU cuDF's as well; a stream of Arrow as a table. Any number of
    threads may call it at once. memory: bytes that it may take beside the frames, on a GPU of that; by
    default a part of what is free. threads: those that share the blocks of a large frame, at most all cores,
    which is the default; a GPU takes one block after another. It is closed by `close`, or at the end of a
    `with`. Raises ConfigError, and ForgeError where the engine cannot run here.
    """
    from forge_gpu.frames.choose import open_frames

    return open_frames(engine, memory, threads)


def job_spec(
    config: Config | str | Path,
    data: Sequence[str | Path] | str | Path | None,
    output: str | Path,
    settings: Sequence[str],
    limit: int | None,
    strict: bool,
    fresh: bool,
    wait: float | None,
    against: Sequence[str | Path] | str | Path | None = None,
) -> tuple[JobSpec, list[Event]]:
    """The job that the arguments of `prepare` describe, and warnings of what was corrected in the plan."""
    from forge_gpu.config.load import Layer, build, load, override_layer
    from forge_gpu.job.events.events import Warned
    from forge_gpu.job.state.spec import JobSpec
    from forge_gpu.planner.check import check_inputs

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
    against_base = base if against is None else Path.cwd()
    given = {}
    if data is not None:
        base = Path.cwd()
        given["inputs"] = _paths(data)
    if against is not None:
        given["against"] = _paths(against)
    plan = loaded.config
    if given:
        plan = plan.model_copy(update={"data": plan.data.model_copy(update=given)})
    told = [*loaded.warnings, *(check_inputs(plan, base) if data is not None else ())]
    warnings: list[Event] = [Warned("plan", warning) for warning in told]
    spec = JobSpec(plan, base, Path(output), limit, strict, fresh, wait, against_base=against_base)
    return spec, warnings


def _paths(given: Sequence[str | Path] | str | Path) -> list[str]:
    return [str(path) for path in ([given] if isinstance(given, str | Path) else given)]


def _engines(spec: JobSpec, threads: int | None) -> tuple[Budget, EngineFactory]:
    """The memory budget of a job, and what makes its engines."""
    from forge_gpu.engine.choose import engine_factory
    from forge_gpu.hardware.budget import cpu_budget
    from forge_gpu.hardware.host import read_cores, read_memory

    memory = spec.config.preprocessing.memory
    wanted = memory.threads if threads is None else threads
    host = read_memory()
    engines = engine_factory(spec.config.preprocessing.engine, lambda: _input_bytes(spec))
    available = host.available if host is not None and memory.budget == "auto" else None
    return engines.budget(cpu_budget(host, read_cores(), memory.budget, wanted), available), engines


def _input_bytes(spec: JobSpec) -> int | None:
    """The size of all inputs; None where that of one is not known."""
    from forge_gpu.io.inputs import resolve

    sizes = [file.size for file in resolve(spec.config.data.inputs, spec.base)]
    return None if None in sizes else sum(size or 0 for size in sizes)


def summary(result: Result) -> Mapping[str, Any]:
    """What `forge prepare --json` prints."""
    return {
        "output": str(result.output),
        "counts": result.counts,
        "used_streaming": result.used_streaming,
        "peak_memory": result.peak_memory,
        "was_finished": result.was_finished,
    }
