"""Forge as a library: `plan`, `estimate`, `tune`, `prepare`, `stream`, `check`, `verify`, `open_engine`.
Prints nothing, installs no handlers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from forge_gpu.config.schema import ForgeConfig
from forge_gpu.errors import ConfigError, NoPlanError
from forge_gpu.job.events.events import Event, Listener

if TYPE_CHECKING:
    import pandas as pd

    from forge_gpu.audit.quality_report import QualityReport
    from forge_gpu.audit.validation_report import ValidationReport
    from forge_gpu.config.layers import Loaded
    from forge_gpu.foretell.predict import Estimate
    from forge_gpu.frames.engine import FrameEngine
    from forge_gpu.job.events.dispatch import Dispatcher
    from forge_gpu.job.events.encode import EntryListener
    from forge_gpu.job.output.result import Result
    from forge_gpu.job.state.files import JobFiles
    from forge_gpu.job.state.spec import JobSpec
    from forge_gpu.planner.plan import Plan
    from forge_gpu.tuning.run import Tuning

Paths = Sequence[str | Path] | str | Path
FrameLike = Any
"""A frame of pandas, polars, pyarrow, cuDF, Dask or datasets, a list of dictionaries, a stream of Arrow."""

PLAN_FILE = "forge.yaml"
NO_PLAN = "No plan found. Run 'forge plan' first."


def plan(
    goal: str | None = None,
    *,
    data: Paths | FrameLike = (),
    model: str | Path | None = None,
    template: str | Path | None = None,
    engine: str | None = None,
    settings: Sequence[str] = (),
    force: bool = False,
) -> Plan:
    """Look at this machine, the data and the goal, and choose every setting. Nothing is written.

    goal: what the model is for, in words. data: files, folders, globs or URLs, or a frame of the kinds that
    `open_engine` takes; a plan for a frame names no inputs, so give the frame to `prepare` again. model: a
    model's folder, GGUF file or name, whose chat template and length are used. template: a built-in's name, a
    format string or a file, instead of the model's. engine: auto, cpu or gpu. settings: `section.key=value`,
    as `--set`. force: plan although something would stop the job, as `--force`.

    The result's `config` goes to `prepare`, `save(path)` writes forge.yaml, `reasons` says why each value was
    chosen. Raises InputError, TemplateError and ConfigError, which are ForgeErrors.
    """
    from forge_gpu.frames.given import paths_of
    from forge_gpu.planner.complete import without_inputs
    from forge_gpu.planner.plan import make_plan

    with paths_of(data) as (paths, base):
        made = make_plan(
            goal,
            data=paths if base is None else [base / path for path in paths],
            model=model,
            template=template,
            engine=engine,
            overrides=settings,
            force=force,
        )
    return made if base is None else without_inputs(made, "the frame that plan was given")


def prepare(
    config: ForgeConfig | Plan | str | Path = PLAN_FILE,
    *,
    data: Paths | FrameLike | None = None,
    against: Paths | FrameLike | None = None,
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
    on_event: Listener | None = None,
    listeners: Sequence[EntryListener] = (),
    check_stop: Callable[[], None] = lambda: None,
    progress: bool | None = None,
    allow_empty: bool = False,
) -> Result:
    """Run a plan and return what came out.

    - config: a ForgeConfig, a Plan, or the path of a forge.yaml.
    - data: inputs instead of the plan's, or a frame, which is written to a temporary file of JSON lines.
    - against: evaluation files instead of the plan's, or a frame. Rows equal or near to theirs are left out.
    - output: a folder, or a URL of a store that fsspec knows.
    - settings: `section.key=value` that override the plan, as `--set` does.
    - threads: at most this many, and no more than the cores that the process may use.
    - limit: take only this many rows, from the start.
    - strict: raise StrictError at the first rejected row.
    - fresh: start anew, without what an earlier run left.
    - wait: seconds to wait for another run on the same output; None waits without a bound.
    - staging: the folder in which output for a URL is made before its upload; .forge-upload if None.
    - workers: processes of a Dask cluster that is made for the job on this machine. A script that asks for
      them must be importable, so keep what it does under `if __name__ == "__main__":`.
    - scheduler: the address of a running Dask cluster. Its workers must see the inputs and the output folder
      under the same names.
    - on_event: is called with every event of the job, in a thread of its own. What it raises ends the job.
    - listeners: the same, each called with the job's digest, the run's id, a number and the time as well. A
      `forge_gpu.events.EventFile` writes them to a file.
    - check_stop: is called between ranges of the input, or more often. It raises to stop the job.
    - progress: whether a notebook shows a bar; None shows one in every notebook.
    - allow_empty: return the result where no row is left to train on, instead of raising NoTrainingRows.

    Raises ForgeErrors: NoPlanError without a plan; NoTrainingRows, with `result`, where the input had rows
    and none of them is in train, though the plan has a share for it; ConfigError, InputError, TemplateError,
    OutputError, StrictError, ValidationError; ContainerError where the plan's container does not run.
    """
    from forge_gpu.foretell.learn import RunLearner
    from forge_gpu.foretell.noted import foretold
    from forge_gpu.frames.given import paths_of
    from forge_gpu.io.secrets import command_line
    from forge_gpu.job.events.dispatch import PACE, of_events
    from forge_gpu.job.output.publish import place_of
    from forge_gpu.job.output.training import require_training
    from forge_gpu.job.start import run
    from forge_gpu.report.collect import ReportCollector
    from forge_gpu.report.live.note import LiveNote
    from forge_gpu.report.notebook import NotebookBar, is_notebook

    command = command_line()
    collector, live = ReportCollector(command), LiveNote(command)
    learner = RunLearner()
    own: list[EntryListener] = [of_events(collector, "the report", PACE), live, learner]
    if progress is not False and is_notebook():
        own.append(NotebookBar())
    with ExitStack() as stack, _dispatcher(on_event, [*listeners, *own]) as dispatcher:
        if workers is not None and scheduler is not None:
            raise ConfigError("workers and scheduler: name one; a running cluster has its own workers")
        folder, destination = place_of(output, staging)
        live.folder = folder
        data, base = stack.enter_context(paths_of(data))
        against, against_from = stack.enter_context(paths_of(against, "against.jsonl"))
        spec, warnings, files = job_spec(
            config,
            data,
            folder,
            settings,
            limit,
            strict,
            fresh,
            wait,
            against,
            dispatcher,
            base,
            against_from,
        )
        spec = replace(spec, destination=destination, workers=workers, scheduler=scheduler, command=command)
        spec = _with_threads(spec, threads)
        spec = replace(spec, foretold=foretold(spec, files))
        learner.spec, learner.files = spec, files
        for warning in warnings:
            dispatcher(warning)
        seen_by = collector if spec.config.output.report else None
        if spec.config.container.use != "off":
            from forge_gpu.container.run import run as run_contained

            result = run_contained(spec, dispatcher, check_stop, files)
            if result is not None:
                return require_training(result, spec, allow_empty)
        return require_training(run(spec, dispatcher, check_stop, files, seen_by), spec, allow_empty)


def estimate(
    config: ForgeConfig | Plan | str | Path = PLAN_FILE,
    *,
    data: Paths | FrameLike | None = None,
    against: Paths | FrameLike | None = None,
    output: str | Path = "prepared",
    settings: Sequence[str] = (),
    threads: int | None = None,
    seconds: float = 5.0,
) -> Estimate:
    """What `prepare` with the same arguments will take, and what will come of it, from a part of the data.

    The job runs over evenly spread pieces of the inputs: one byte in a hundred, or a few chunks for each
    thread where that is more; small inputs as a whole. It writes into a folder that is thrown away. What
    earlier runs on this machine took is used too. The only thing that stays is a note in the user's cache
    folder, by which `prepare` says where the estimate was off.

    config, data, against, output, settings, threads: as for `prepare`. seconds: about how long the look may
    take, without its start.

    Each figure of the result is an interval; `refusals` says what will not fit. Raises ForgeError.
    """
    from forge_gpu.foretell.foretell import foretell
    from forge_gpu.frames.given import paths_of
    from forge_gpu.job.output.publish import place_of

    with ExitStack() as stack:
        data, base = stack.enter_context(paths_of(data))
        against, against_from = stack.enter_context(paths_of(against, "against.jsonl"))
        folder, _ = place_of(output, None)
        spec, _, _ = job_spec(
            config,
            data,
            folder,
            settings,
            None,
            False,
            False,
            None,
            against,
            data_base=base,
            against_from=against_from,
        )
        return foretell(_with_threads(spec, threads), seconds)


def tune(
    config: ForgeConfig | Plan | str | Path = PLAN_FILE,
    *,
    only: Sequence[str] = (),
    data: Paths | FrameLike | None = None,
    settings: Sequence[str] = (),
    coverage: float = 0.99,
    same: float = 0.1,
    tokens: int | None = None,
    seconds: float = 10.0,
) -> Tuning:
    """Choose settings of a plan by measuring them on a part of the data. Nothing is written.

    config, data, settings: as for `prepare`. only: some of max_length, pack_length, near, mixture and speed;
    all by default. coverage: the share of rows, 0 to 1, that `model.max_length` leaves whole. same: the share
    of a text's words, 0 to 1, that may differ in a copy of it. tokens: how many trained tokens a mixture
    should have. seconds: how long to measure what is measured by the clock.

    The result has the tables of candidates, the settings that changed with their reasons, and both plans. The
    same data, plan and seed give the same result, except where `Trade.by_seconds`. Raises ForgeError.
    """
    from forge_gpu.frames.given import paths_of
    from forge_gpu.tuning.run import ask
    from forge_gpu.tuning.trade import Wishes

    with ExitStack() as stack:
        data, base = stack.enter_context(paths_of(data))
        spec, _, _ = job_spec(config, data, "prepared", settings, None, False, False, None, data_base=base)
        return ask(spec, only, Wishes(coverage, same, tokens, seconds))


def stream(
    config: ForgeConfig | Plan | str | Path = PLAN_FILE,
    *,
    split: str = "train",
    form: str | None = None,
    data: Paths | FrameLike | None = None,
    settings: Sequence[str] = (),
    threads: int | None = None,
    batch_rows: int = 8192,
    as_: Literal["arrow", "pandas", "cudf"] = "arrow",
    on_event: Listener | None = None,
    listeners: Sequence[EntryListener] = (),
) -> Iterator[Any]:
    """The rows of one split as Arrow batches, without an output folder.

    The rows, their order and their bytes are those that `prepare` writes. The input is read once to decide
    duplicates and splits, with a small index in a temporary folder. It is read again as batches are taken.

    config, data, settings, threads, on_event, listeners: as for `prepare`. split: train, validation or test.
    form: instead of the plan's `output.form`, for example `tokens`. batch_rows: the most rows of a batch.
    as_: arrow gives record batches, pandas frames of Arrow columns, cudf frames on the GPU. Columns have the
    types of `Split.iter_batches`. Raises ForgeError.
    """
    from forge_gpu.frames.batches import batches_as
    from forge_gpu.frames.given import paths_of
    from forge_gpu.job.start import engines_for
    from forge_gpu.job.streaming import stream as stream_job

    convert = batches_as(as_)
    settings = settings if form is None else [*settings, f"output.form={form}"]
    dispatcher = _dispatcher(on_event, listeners)
    with ExitStack() as stack:
        data, base = stack.enter_context(paths_of(data))
        spec, warnings, files = job_spec(
            config, data, ".", settings, None, False, False, None, on_event=dispatcher, data_base=base
        )
        budget, engines = engines_for(_with_threads(spec, threads), files)
        batches = stream_job(spec, budget, engines, split, batch_rows, dispatcher, files)
        held = stack.pop_all()

    def dispatched() -> Iterator[Any]:
        with held, dispatcher, closing(batches):
            for warning in warnings:
                dispatcher(warning)
            dispatcher.sampler.watch(engines.gpus)
            yield from batches if as_ == "arrow" else map(convert, batches)

    return dispatched()


def _dispatcher(on_event: Listener | None, listeners: Sequence[EntryListener]) -> Dispatcher:
    from forge_gpu.job.events.dispatch import Dispatcher, of_events

    own = () if on_event is None else (of_events(on_event, "on_event"),)
    return Dispatcher([*own, *listeners])


def check(paths: Sequence[str | Path] | str | Path) -> QualityReport:
    """Look at all of the data, without a plan: rows, shapes, columns, damage, duplicates, poor texts.

    paths: files, folders, globs, lists, URLs. Nothing is written. Raises InputError.
    """
    from forge_gpu.audit.inputs import check_inputs

    return check_inputs(_paths(paths))


def verify(folder: str | Path = "prepared") -> ValidationReport:
    """Check a prepared folder: derive every count and hash anew, from its files alone.

    folder: what `prepare` wrote. Whatever differs is a failed check in the report. Raises InputError where
    the folder is not the output of a job.
    """
    from forge_gpu.audit.folder import verify_folder

    return verify_folder(Path(folder))


def open_engine(
    engine: str = "auto", memory: int | None = None, threads: int | None = None
) -> FrameEngine[pd.DataFrame, pd.Series]:
    """The engine for frames in memory: `render`, `reasons`, `check`, `deduplicate`, `duplicate_of`,
    `near_duplicates`, `against`, `split` and `mix`.

    Every method returns the kind of frame it was given: pandas, polars, pyarrow, datasets, Dask, a list of
    dictionaries, and on a GPU cuDF; a stream of Arrow comes back as a table. Any number of threads may call
    an engine at once. `close`, or the end of a `with`, gives its memory back.

    engine: auto, cpu or gpu. memory: bytes that it may take beside the frames, of the GPU's memory on a GPU;
    by default a part of what is free. threads: how many share the blocks of a large frame, all cores by
    default; a GPU takes one block after another. Raises ConfigError, and ForgeError where the engine cannot
    run here.
    """
    from forge_gpu.frames.choose import open_frames

    return open_frames(engine, memory, threads)


def job_spec(
    config: ForgeConfig | Plan | str | Path,
    data: Sequence[str | Path] | str | Path | None,
    output: str | Path,
    settings: Sequence[str],
    limit: int | None,
    strict: bool,
    fresh: bool,
    wait: float | None,
    against: Sequence[str | Path] | str | Path | None = None,
    on_event: Listener = lambda event: None,
    data_base: Path | None = None,
    against_from: Path | None = None,
) -> tuple[JobSpec, list[Event], JobFiles]:
    """The job that the arguments of `prepare` describe (data_base, against_from: the folders that relative
    ones start from, the current one by default), warnings of what was corrected in the plan, and the
    files of the job, for all who look at them."""
    from forge_gpu.config.layers import Layer, build
    from forge_gpu.config.load import load, override_layer
    from forge_gpu.config.schema import GivenSplits
    from forge_gpu.job.events.events import Warned
    from forge_gpu.job.events.retry import telling
    from forge_gpu.job.state.files import JobFiles
    from forge_gpu.job.state.spec import JobSpec
    from forge_gpu.planner.check import check_inputs

    base = Path.cwd()
    if not isinstance(config, ForgeConfig | str | Path):
        config = config.config
    if isinstance(config, ForgeConfig):
        loaded = build([Layer(config.model_dump()), override_layer(settings)])
    else:
        path = Path(config)
        if not path.exists():
            raise NoPlanError(
                NO_PLAN if str(config) == PLAN_FILE else f"{path}: no such plan; run 'forge plan' first"
            )
        loaded = load(path, overrides=settings)
        base = path.absolute().parent
    loaded, notes = _completed(loaded, config, data, base, settings, data_base)
    against_base = base if against is None else against_from or Path.cwd()
    given: dict[str, Any] = {}
    if data is not None:
        base = data_base or Path.cwd()
        given["inputs"] = _paths(data)
        given["splits"] = GivenSplits()
    if against is not None:
        given["against"] = _paths(against)
    plan = loaded.config
    if given:
        plan = plan.model_copy(update={"data": plan.data.model_copy(update=given)})
    spec = JobSpec(plan, base, Path(output), limit, strict, fresh, wait, against_base=against_base)
    files = JobFiles(spec, telling("open", on_event))
    unfit = check_inputs(plan, lambda: files.inputs) if data is not None else ()
    warnings: list[Event] = [Warned("plan", warning) for warning in (*loaded.warnings, *notes, *unfit)]
    return spec, warnings, files


def _completed(
    loaded: Loaded,
    config: ForgeConfig | str | Path,
    data: Sequence[str | Path] | str | Path | None,
    base: Path,
    settings: Sequence[str],
    data_base: Path | None,
) -> tuple[Loaded, list[str]]:
    """The plan, once data has been looked at for it, and a line for each change. The file of a plan that says
    nothing of its data is written anew, without `settings`."""
    from forge_gpu.config.layers import Layer, build
    from forge_gpu.config.load import environment_layer, load, override_layer

    if loaded.config.data.is_mapped or not (data or loaded.config.data.inputs):
        return loaded, []
    from forge_gpu.planner.complete import changes, complete, without_inputs, write

    given = [override_layer(settings)]
    if isinstance(config, ForgeConfig):
        before = build([Layer(config.model_dump())])
    else:
        before = load(config, environ={})
        given.insert(0, environment_layer(os.environ))
    paths = _paths(data or ())
    if data_base is not None:
        plan = complete(before, [str(data_base / path) for path in paths], base)
        plan = without_inputs(plan, "the frame that prepare was given")
    else:
        plan = complete(before, paths, base)
    notes = [f"chosen for the data: {line}" for line in changes(before.config, plan)]
    if not isinstance(config, ForgeConfig):
        notes.insert(0, write(Path(config), plan, loaded.migrated_from is not None))
    whole = build([Layer(plan.config.model_dump()), *given])
    return replace(whole, warnings=loaded.warnings), notes


def _paths(given: Sequence[str | Path] | str | Path) -> list[str]:
    return [str(path) for path in ([given] if isinstance(given, str | Path) else given)]


def _with_threads(spec: JobSpec, threads: int | None) -> JobSpec:
    """The job with at most so many threads, if a number is given."""
    if threads is None:
        return spec
    settings = spec.config.preprocessing
    memory = settings.memory.model_copy(update={"threads": threads})
    settings = settings.model_copy(update={"memory": memory})
    return replace(spec, config=spec.config.model_copy(update={"preprocessing": settings}))


def summary(result: Result) -> Mapping[str, Any]:
    """What `forge prepare --json` prints."""
    return {
        "output": str(result.output),
        "counts": result.counts,
        "used_streaming": result.used_streaming,
        "peak_memory": result.peak_memory,
        "was_finished": result.was_finished,
    }
