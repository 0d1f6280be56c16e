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
    """Look at this machine, the data and the goal, and choose every setting; nothing is written.

    The arguments are those of `forge plan`; `settings` are its `--set`, `force` its `--force`. data may be a
    frame as well, as `open_engine` takes them: the plan then names no inputs, and `prepare` is given the
    frame again. The result's `config` goes to `prepare`, `save(path)` writes forge.yaml, `reasons` say why
    each value was chosen. Raises ForgeError: InputError, TemplateError, ConfigError.
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
    config: ForgeConfig | str | Path = PLAN_FILE,
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

    config: a ForgeConfig, or the path of a forge.yaml. data: inputs instead of the plan's, or a frame, which
    is written to a temporary file of JSON lines. against: evaluation files instead of the plan's, or a frame;
    rows that are near or equal to theirs are left out. settings: `section.key=value` overrides, as `--set`.
    threads: at most so many; no more than the cores allowed.
    limit: rows to take from the start. strict: raise at the first rejected row. fresh: forget what an
    earlier run left. wait: seconds to wait for another run on the same output, None for no bound.
    output: a folder, or a URL of a store that fsspec knows; staging: the folder in which output for a URL is
    made before it is uploaded, below .forge-upload if None.
    workers: processes of a Dask cluster made for the job on this machine (a script that asks for them must
    be importable: keep what it does under `if __name__ == "__main__":`). scheduler: the address of a running
    cluster, whose workers see the inputs and the output folder by the same names. on_event: hears every event
    of the job, in a thread of its own; what it raises ends the job. listeners: hear them with the job's
    digest, the run's id, a number and the time: a `forge_gpu.events.EventFile` writes them to a file.
    check_stop: called between ranges, or parts of them; raises to stop. progress: whether a bar is shown in a
    notebook; None shows one where there is a notebook, and nowhere else is one shown. allow_empty: return
    where no row is left to train on.

    Raises ForgeError: NoPlanError without a plan, NoTrainingRows (with `result`) where the input had rows and
    none is in train, though the plan has a share for it; ConfigError, InputError, TemplateError, OutputError,
    StrictError, ValidationError; ContainerError where the plan names a container that does not run.
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
    """What `prepare` will take with the same arguments, and what will come of it, from a look at a part.

    The job itself runs over evenly spread pieces of the inputs (one byte in a hundred, or some chunks for
    each thread where that is more; a small input as a whole), as far as it comes in about so many `seconds`,
    its start not counted, into a folder that is thrown away. What earlier runs on this machine took is
    heeded. config: a Plan as well. Nothing is written but a note in the user's cache folder, by which
    `prepare` says where the estimate was off.

    The result has stages (seconds of each), seconds, workers (processes -> seconds), memory, disk, rows,
    tokens, packs, vram: see `Estimate`. Each is an interval. What will not fit is in `refusals`. Raises
    ForgeError.
    """
    from forge_gpu.foretell.foretell import foretell
    from forge_gpu.frames.given import paths_of
    from forge_gpu.job.output.publish import place_of

    with ExitStack() as stack:
        data, base = stack.enter_context(paths_of(data))
        against, against_from = stack.enter_context(paths_of(against, "against.jsonl"))
        plan = config if isinstance(config, ForgeConfig | str | Path) else config.config
        folder, _ = place_of(output, None)
        spec, _, _ = job_spec(
            plan,
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
    """Settings of a plan, chosen by measuring them on a part of the data; nothing is written.

    only: of max_length, pack_length, near, mixture and speed; all by default. coverage: the share of rows
    that `model.max_length` leaves whole. same: the share of a text's words that may differ in a copy of it.
    tokens: trained tokens that a mixture is to have. seconds: for what is measured by seconds.

    The result has trades (a table of each question), passed_over (why a question was not asked), settings and
    reasons (what differs, by dotted key), before and after (the plans). The same data, plan and seed give the
    same, except where `Trade.by_seconds`. Raises ForgeError.
    """
    from forge_gpu.frames.given import paths_of
    from forge_gpu.tuning.run import ask
    from forge_gpu.tuning.trade import Wishes

    with ExitStack() as stack:
        data, base = stack.enter_context(paths_of(data))
        plan = config if isinstance(config, ForgeConfig | str | Path) else config.config
        spec, _, _ = job_spec(plan, data, "prepared", settings, None, False, False, None, data_base=base)
        return ask(spec, only, Wishes(coverage, same, tokens, seconds))


def stream(
    config: ForgeConfig | str | Path = PLAN_FILE,
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
    """The rows of one split as Arrow batches of at most `batch_rows`, without writing an output folder.

    The rows, their order and their bytes are those that `prepare` writes. The input is indexed first (so
    that duplicates and splits are decided), in a temporary folder; then it is read again as batches are
    taken. form: instead of the plan's, as `tokens`. Columns have the types of
    `Result.splits[...].iter_batches`. as_: pandas gives frames of Arrow
    columns instead of batches, cudf frames on the GPU. on_event and listeners: as for `prepare`. Raises
    ForgeError.
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
    """Derive every count and hash of a prepared folder anew, from its files alone.

    What differs is a check of the report that failed. Raises InputError where the folder is no job's output.
    """
    from forge_gpu.audit.folder import verify_folder

    return verify_folder(Path(folder))


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
    config: ForgeConfig | str | Path,
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
