"""A job from start to end: open, index, decide, write, check, tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.engine.choose import EngineFactory
from forge_gpu.errors import StrictError
from forge_gpu.fates import Fate, Reason, name
from forge_gpu.hardware import shares
from forge_gpu.hardware.budget import Budget
from forge_gpu.io.disk import faults_of
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.lock import FolderLock
from forge_gpu.io.modes import make_shared
from forge_gpu.io.spool import Spool, never
from forge_gpu.job.decide.candidates import CandidateTexts
from forge_gpu.job.decide.decide import PLACING, RETAINING, STEPS, DecisionStep, decide
from forge_gpu.job.decide.mixture import mixture_of
from forge_gpu.job.events.events import FellBack, Halved, JobEnded, Listener, Warned
from forge_gpu.job.events.memory import shortage_of
from forge_gpu.job.events.processors import cpu_seconds
from forge_gpu.job.events.retry import telling
from forge_gpu.job.events.stages import stage, telling_how_far
from forge_gpu.job.facts.registry import input_columns
from forge_gpu.job.finish import finish, remove_stale
from forge_gpu.job.index_pass import index_pass
from forge_gpu.job.job import Job
from forge_gpu.job.output.collector import Collector
from forge_gpu.job.output.manifest import RunFacts
from forge_gpu.job.output.output_guard import require_own
from forge_gpu.job.output.publish import find_finished, publish, require_own_store, require_store
from forge_gpu.job.output.result import Result
from forge_gpu.job.output.space import allot_room, cut_unsaved
from forge_gpu.job.rows.evaluation import read_evaluation
from forge_gpu.job.rows.expansions import open_expansions
from forge_gpu.job.rows.rows import RowReader
from forge_gpu.job.rows.scans import HeldScans
from forge_gpu.job.rows.tokenizers import depends_on_lengths, tokenizer_plan
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.run.opening import open_inputs, threads_to_open
from forge_gpu.job.run.pool import Executor, OrderedPool
from forge_gpu.job.state import decisions as decided
from forge_gpu.job.state.checkpoint import Checkpoint, JobKey
from forge_gpu.job.state.decisions import Decisions
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.inputs import JobInputs
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.job.state.started import job_started
from forge_gpu.job.token_pass import token_pass
from forge_gpu.job.write_pass import write_pass
from forge_gpu.plain import frozen

MakeEngine = Callable[[], Engine]

ROWS_WITH_MEDIA = 2048
"""Rows of a chunk, about, where rows refer to media: what is known of these takes KiB a row, however short it
is."""


def prepare(
    spec: JobSpec,
    budget: Budget,
    make_engine: MakeEngine,
    listener: Listener,
    check_stop: Callable[[], None],
    files: JobFiles | None = None,
    collector: Collector | None = None,
) -> Result:
    """Prepare the data of `spec` and return what came out.

    A job that an earlier run left unfinished goes on where it stopped; one that is finished and unchanged
    returns at once. files: those of `spec`, where they are known already. `check_stop` is called between
    ranges, or blocks of them, and raises to stop; what was done by then is kept. collector: sees a few rows.
    Raises ForgeError for every fault of input, plan or environment.
    """

    def on_wait(line: str) -> None:
        listener(Warned("open", line))

    began = time.monotonic()
    make_shared(spec.output, spec.config.output.mode)
    with faults_of(spec.output), FolderLock(spec.output, spec.wait, on_wait, check_stop):
        require_store(spec, listener)
        opened = open_job(spec, budget, make_engine, listener, files, check_stop)
        if isinstance(opened, Result):
            result = opened
        else:
            opened.collector = collector
            with closing(opened):
                cut_unsaved(spec, opened.checkpoint)
                allot_room(spec, opened.inputs, opened.checkpoint, opened.expansions)
                take_steps(opened, (*deciding(spec.config), *WRITING), check_stop)
                result = finish(opened, check_stop)
        if collector is not None and isinstance(result.output, Path):
            collector.finish(result.output, result.manifest, listener)
        result = publish(spec, result, listener, check_stop)
    listener(JobEnded("end", result.counts, time.monotonic() - began, result.was_finished))
    return result


def open_job(
    spec: JobSpec,
    budget: Budget,
    make_engine: MakeEngine,
    listener: Listener,
    named: JobFiles | None = None,
    check_stop: Callable[[], None] = never,
) -> Job | Result:
    """Open the inputs and the checkpoint; the result, where an earlier run has finished this very job. What
    `check_stop` raises is raised while inputs are opened: those that are whole are found by the next run."""
    began, cpu_before = time.time(), cpu_seconds()
    named = named or JobFiles(spec, telling("open", listener))
    checkpoint = Checkpoint(spec.output)
    # What workers are to read as well is spooled in files, not in memory.
    spool = Spool(checkpoint.spool_folder, 0 if spec.on_cluster else shares.SPOOL.of(budget.bytes))
    files = [
        spool.capture(file, check_stop) if file.is_stream else file  # a stream is known by its content alone
        for file in named.inputs
    ]
    against = named.against
    for path, reason in named.skipped.items():
        listener(Warned("open", f"{path} is passed over: {reason}"))
    mixture = mixture_of(spec.config.data, files)
    require_own(spec.output, checkpoint, [*files, *against])
    require_own_store(spec, [*files, *against], listener)
    expansions = open_expansions(spec, checkpoint.spool_folder)
    tokenizer = tokenizer_plan(spec.config)
    key = JobKey.of(
        spec.config,
        files,
        spec.limit,
        against,
        expansions.keys,
        None if tokenizer is None else tokenizer.key,
    )
    why = checkpoint.open(key, fresh=spec.fresh)
    if checkpoint.state.result is not None:
        finished = find_finished(spec, checkpoint.state.result["manifest_sha256"], listener)
        if finished is not None:
            expansions.close()
            checkpoint.clean_up()  # where it was killed before it could
            remove_stale(spec.output, finished.manifest)
            listener(job_started(spec, key.digest, budget, make_engine, resumed=False))
            return finished
        why = "the output files changed since the last run"
        checkpoint.open(key, fresh=True)
    facts = RunFacts(began, cpu_before, checkpoint.has_work(), spec.surroundings)
    listener = facts.listening(listener)
    listener(job_started(spec, key.digest, budget, make_engine, facts.resumed))
    if why:
        listener(Warned("open", f"starting anew: {why}"))
    streamed = spec.on_cluster or _is_streamed(spec.config, files, budget)
    threads, is_memory_short = threads_to_open(budget), shortage_of(budget.bytes)
    inputs = open_inputs(spec, files, spool, streamed, listener, threads, check_stop, is_memory_short)
    if isinstance(make_engine, EngineFactory):
        facts.engines = make_engine
        make_engine.watch(
            lambda rows: listener(Halved("engine", rows)), lambda why: listener(FellBack("engine", why))
        )
    own_engine = make_engine  # what this process opens: where workers have the GPUs, nothing on these
    if spec.workers is not None and isinstance(make_engine, EngineFactory):
        own_engine = make_engine.on_host()
    budget = _with_chunk_size(spec.config, budget, inputs, own_engine)
    evaluation = read_evaluation(spec.config, against, spool, own_engine, listener)

    columns = input_columns(spec.config)
    scans = None if spec.on_cluster else HeldScans(shares.SCANS.of(budget.bytes))

    def make_workspace() -> Workspace:
        made = Workspace(spec.config, own_engine, listener, columns, evaluation, scans, expansions)
        facts.workspaces.append(made)
        return made

    pool: Executor[Workspace]
    if spec.on_cluster:
        from forge_gpu.job.run.cluster import ClusterPool, worker_job

        work = worker_job(spec, files, against, checkpoint.spool_folder, make_engine, budget.threads)
        pool = ClusterPool(spec, work, make_workspace())
    else:
        threads = min(budget.threads, max(len(inputs.items), 1))
        pool = OrderedPool(threads, make_workspace, shortage_of(budget.bytes))
    return Job(spec, budget, inputs, checkpoint, pool, facts, listener, mixture, expansions)


def _is_streamed(config: Config, files: list[InputFile], budget: Budget) -> bool:
    """Whether the input is read from its files in both passes. What is small is read once, and held."""
    held = shares.SPOOL.of(budget.bytes)
    asked = config.preprocessing.streaming_threshold_gb
    threshold = held if asked == "auto" else min(int(asked * 1e9), held)
    sizes = [file.size for file in files]
    return None in sizes or sum(size for size in sizes if size is not None) > threshold


def _with_chunk_size(config: Config, budget: Budget, inputs: JobInputs, make_engine: MakeEngine) -> Budget:
    """The budget with chunks of about as many rows as the plan asks for, if those are smaller."""
    asked = config.preprocessing.chunk_size
    if asked == "auto" and config.data.media.are_there:
        asked = ROWS_WITH_MEDIA
    first = next((item for item in inputs.items if item.range.size), None)
    if asked == "auto" or first is None:
        return budget
    reader = RowReader(config, make_engine())
    chunk = next(first.source.read(first.range, 2**16, columns=reader.keys_of_tables), None)
    rows = 0 if chunk is None else len(reader.read(chunk, judge=False))
    if chunk is None or not rows:
        return budget
    chunk_bytes = max(asked * chunk.size // rows, 1)
    return replace(budget, chunk_bytes=min(chunk_bytes, budget.chunk_bytes))


@frozen
class Step:
    """A pass over the input, or decisions between two. run: does it, from where an earlier run left it, and
    returns the rows it worked on; what it makes is in the checkpoint. done_bytes: of a pass, the bytes of
    the input that an earlier run has done."""

    stage: str
    run: Callable[[Job, Callable[[], None]], int]
    done_bytes: Callable[[Job], int] | None = None


def retain_rows(job: Job, check_stop: Callable[[], None]) -> int:
    """What an earlier run decided of rows before any was encoded, or what is decided now."""
    checkpoint = job.checkpoint
    if decided.load(checkpoint.decisions) is None and decided.load(checkpoint.retained) is None:
        decided.save(checkpoint.retained, _decide(job, check_stop, RETAINING))
    return sum(facts.rows for facts in job.ranges)


def decide_fates(job: Job, check_stop: Callable[[], None]) -> int:
    """The decisions of an earlier run, or made now and left in the checkpoint."""
    checkpoint = job.checkpoint
    made = decided.load(checkpoint.decisions)
    if made is None:
        if depends_on_lengths(job.spec.config):
            made = _decide(job, check_stop, PLACING, job.retained, job.token_rows)
        else:
            made = _decide(job, check_stop, STEPS)
        decided.save(checkpoint.decisions, made)
        made = job.decisions  # as they read back
    job.decisions = made
    for warning in made.warnings:
        job.listener(Warned("decide", warning))
    _tell_of_nothing(job, made)
    if job.spec.strict and made.counts()[Fate.REJECTED]:
        _refuse_rejected(job, made)
    _check_rejected(job.spec.config.data.max_rejected, made.counts())
    return len(made.fate)


def _decide(
    job: Job,
    check_stop: Callable[[], None],
    steps: Sequence[DecisionStep],
    before: Decisions | None = None,
    tokens: np.ndarray | None = None,
) -> Decisions:
    checkpoint, items = job.checkpoint, job.inputs.items
    chunk_bytes = job.budget.chunk_bytes
    folder = checkpoint.folder / "candidates"
    texts = CandidateTexts(folder, items, job.pool, chunk_bytes, job.listener, check_stop)
    splits = [source.file.split for source in job.inputs.sources]
    return decide(
        checkpoint.folder,
        [checkpoint.index_path(item.number) for item in items],
        job.spec.config,
        job.budget.bytes,
        texts,
        job.mixture,
        [item.file for item in items],
        job.pool.first.engine,
        telling_how_far("decide", job.listener, check_stop),
        splits if any(splits) else (),
        tokens,
        steps,
        before,
        job.budget.threads,
    )


def deciding(config: Config) -> tuple[Step, ...]:
    """What comes before anything is written."""
    index, decision = Step("index", index_pass, Job.indexed_bytes), Step("decide", decide_fates)
    if not depends_on_lengths(config):
        return index, decision
    return index, Step("decide", retain_rows), Step("encode", token_pass, Job.encoded_bytes), decision


WRITING = (Step("write", write_pass, Job.written_bytes),)


def take_steps(job: Job, steps: Sequence[Step], check_stop: Callable[[], None]) -> None:
    """Take them one after the other. Raises StrictError where too many rows are rejected."""
    for step in steps:
        total, before = None, 0
        if step.done_bytes is not None:
            total, before = job.inputs.total_bytes, step.done_bytes(job)
        with stage(step.stage, job.listener, total, before) as done:
            done(step.run(job, check_stop))


def _tell_of_nothing(job: Job, decisions: Decisions) -> None:
    """A warning for each input without rows, and where no row is left to train on."""
    rows = job.inputs.records_of_files(job.ranges)
    if job.spec.limit is None or not any(rows):
        for source, count in zip(job.inputs.sources, rows, strict=True):
            if not count:
                job.listener(Warned("index", f"{source.file.path}: has no rows"))
    counts = decisions.counts()
    if not counts[Fate.TRAIN]:
        others = ", ".join(f"{count:,} {name(fate)}" for fate, count in counts.items() if count)
        job.listener(Warned("decide", f"no row goes to train: {others or 'the input has no rows'}"))


def _refuse_rejected(job: Job, decisions: Decisions) -> None:
    """Raise StrictError for the first row that was rejected for its tokens: what is rejected before ends a
    strict job in its first pass."""
    row = int(np.flatnonzero(np.asarray(decisions.fate) == Fate.REJECTED)[0])
    starts = np.concatenate(([0], np.cumsum(job.inputs.rows_of_files(job.ranges))))
    file = int(np.searchsorted(starts, row, side="right")) - 1
    number = row - int(starts[file])
    if decisions.record is not None:
        number = int(decisions.record[row] - decisions.record[starts[file]])
    path, reason = job.inputs.sources[file].file.path, Reason(int(decisions.reason[row]))
    raise StrictError(f"{path}: row {number} is rejected: {name(reason)}")


def _check_rejected(most: int | float | None, counts: dict[Fate, int]) -> None:
    total, rejected = sum(counts.values()), counts[Fate.REJECTED]
    if most is None:
        return
    allowed = most if isinstance(most, int) else int(most * total)
    if rejected > allowed:
        raise StrictError(
            f"{rejected:,} of {total:,} rows are rejected, more than data.max_rejected allows ({allowed:,}); "
            "run with --set data.max_rejected=null to see them in rejected.jsonl"
        )
