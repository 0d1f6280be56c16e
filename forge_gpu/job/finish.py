"""The end of a job: name the files, write the ledger, read everything back, write the manifest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from forge_gpu.errors import ValidationError
from forge_gpu.fates import Fate, Reason, name
from forge_gpu.hardware import shares
from forge_gpu.io.atomic import write_atomic
from forge_gpu.io.sinks.base import Written
from forge_gpu.io.sinks.registry import format_of, stale_outputs
from forge_gpu.job.decide import leaks
from forge_gpu.job.events.events import Warned
from forge_gpu.job.events.memory import peak_memory
from forge_gpu.job.events.processors import cpu_seconds
from forge_gpu.job.events.stages import OnProgress, stage, telling_how_far
from forge_gpu.job.facts.media import beside
from forge_gpu.job.job import Job
from forge_gpu.job.output import foretold, manifest, token_counts, written_ends
from forge_gpu.job.output.ledger import write_ledger
from forge_gpu.job.output.result import LEDGER, MANIFEST, OutputFile, Result
from forge_gpu.job.output.verify import verify
from forge_gpu.job.rows.evaluation import Evaluation
from forge_gpu.job.rows.tokenizers import tokenizer_plan
from forge_gpu.job.state.checkpoint import Checkpoint
from forge_gpu.job.state.decisions import SPLITS, Decisions
from forge_gpu.templates.forms import form_of


def finish(job: Job, check_stop: Callable[[], None]) -> Result:
    """Everything after the second pass. Raises ValidationError where what was written is not as it should,
    and what `check_stop` raises."""
    spec, ranges, listener, workspace = job.spec, job.ranges, job.listener, job.pool.first
    decisions, outputs = job.decisions, job.outputs
    tokens: dict[str, Any] = {}
    if form_of(spec.config).is_encoded:
        facts = token_counts.facts_of(spec.config, decisions, job.token_rows)
        decisions = replace(decisions, facts={**decisions.facts, **facts})
        tokens = _tokens(job, decisions, job.token_rows)
    with stage("finish", listener) as done:
        on_progress = telling_how_far("finish", listener, check_stop)
        outputs.begin_sync()
        # While the disk takes the rows:
        with _meanwhile(partial(_leaks, job, decisions), job.budget.threads) as leaks_found:
            _write_ledger(job, decisions, workspace.evaluation, partial(on_progress, "ledger"))
            room = shares.BUCKET.of(job.budget.bytes)
            files = _files(spec.output, outputs.finish(room, partial(on_progress, "shuffle")))
            found = leaks_found()
        done(len(decisions.fate))
    if found["keys_in_several_splits"]:
        listener(Warned("verify", leaks.message(found["keys_in_several_splits"])))
    verified: dict[str, Any] = {}
    if spec.config.output.verify:
        with stage("verify", listener, sum(file.bytes for file in files)) as done:
            files, verified = verify(spec, files, job.budget.threads, listener, check_stop)
            done(sum(file.rows for file in files))
    compared = _compared(job, files, tokens)
    document = manifest.content(
        spec.config,
        job.inputs,
        ranges,
        decisions.counts(),
        _reasons(decisions),
        files,
        job.columns,
        verified | found,
        job.facts.section(spec.config, workspace.engine.name, job.budget, job.inputs, ranges, compared),
        decisions.sections
        | tokens
        | written_ends.section(spec.config, spec.output, files, job.columns)
        | _against(workspace.evaluation)
        | job.expansions.sections,
    )
    if tokens and tokens["tokens"]["over_max_length"]:
        document["warned"]["too_long"] = tokens["tokens"]["over_max_length"]
    return _publish(spec.output, job.checkpoint, document)


def _compared(job: Job, files: Sequence[OutputFile], tokens: dict[str, Any]) -> dict[str, Any]:
    """What was foretold of the job beside what it took, for the manifest; what was off by far is told."""
    said = job.spec.foretold
    measured = {
        "seconds": round(time.time() - job.facts.started, 3),
        "cpu_seconds": round(cpu_seconds() - job.facts.cpu_before, 3),
        "peak_memory": peak_memory(),
        "output_bytes": sum(file.bytes for file in files),
        "rows": sum(rows for fate, rows in job.decisions.counts().items() if fate in SPLITS),
        **({"tokens": tokens["tokens"]["tokens"]} if tokens else {}),
    }
    if job.facts.resumed:
        del measured["seconds"], measured["cpu_seconds"]  # of a part of the job
    elif job.spec.on_cluster:
        del measured["cpu_seconds"]  # the workers' are not known
    for line in foretold.off(said, measured):
        job.listener(Warned("verify", line))
    return foretold.section(said, measured)


def _tokens(job: Job, decisions: Decisions, table: np.ndarray) -> dict[str, Any]:
    """How many tokens there are, and by which tokenizer."""
    plan = tokenizer_plan(job.spec.config)
    assert plan is not None
    paths = [source.file.path for source in job.inputs.sources]
    rows_of_files = job.inputs.rows_of_files(job.ranges)
    sums = token_counts.section(job.spec.config, decisions, table, paths, rows_of_files)
    longest = job.spec.config.model.max_length
    over = 0
    if longest is not None:
        is_written = np.asarray(decisions.fate) <= np.uint8(max(SPLITS))
        over = int(np.count_nonzero(is_written & (table["longest"] + beside(decisions.facts.get) > longest)))
    return {"tokens": {"tokenizer_sha256": plan.definition.digest, "over_max_length": over, **sums}}


def _leaks(job: Job, decisions: Decisions) -> dict[str, Any]:
    """What is in several splits, for the manifest."""
    settings = job.spec.config.preprocessing
    indexed = [(job.checkpoint.index_path(number), facts.rows) for number, facts in enumerate(job.ranges)]
    grouped = settings.split.group is not None
    is_whole = settings.split.mode != "temporal"
    budget = shares.LEAKS.of(job.budget.bytes)
    return leaks.check(indexed, decisions, settings.dedup.exact, grouped, is_whole, budget)


@contextmanager
def _meanwhile(work: Callable[[], dict[str, Any]], threads: int) -> Iterator[Callable[[], dict[str, Any]]]:
    """Asks for what `work` makes: another thread does it meanwhile, or, where it is alone, the caller's."""
    if threads == 1:
        yield work
        return
    with ThreadPoolExecutor(1, "forge-beside") as beside:
        yield beside.submit(work).result


def _reasons(decisions: Decisions) -> dict[Reason, int]:
    """How many rows are rejected for each reason that there is."""
    rows = np.bincount(decisions.reason, minlength=max(Reason) + 1)
    return {reason: int(rows[reason]) for reason in Reason if reason and rows[reason]}


def _publish(output: Path, checkpoint: Checkpoint, document: dict[str, Any]) -> Result:
    total = document.get("parts", document["rows"])
    if sum(document["counts"].values()) != total:
        raise ValidationError(f"the fates of {sum(document['counts'].values())} rows are known, of {total}")
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
    write_atomic(output / MANIFEST, data)
    checkpoint.finish({"manifest_sha256": hashlib.sha256(data).hexdigest()})
    remove_stale(output, document)
    return Result.of(output, document)


def remove_stale(output: Path, document: dict[str, Any]) -> None:
    """Remove what the manifest does not name: an earlier job's outputs, and what outputs were made from.

    Only a finished job can do without the latter: one that is killed before goes on from them.
    """
    ours = [entry["file"] for entry in document["outputs"]]
    for split in SPLITS:
        for path in stale_outputs(output, name(split), ours):
            path.unlink()
            if path.parent != output:
                with suppress(OSError):  # it holds what is someone else's
                    path.parent.rmdir()


def _against(evaluation: Evaluation | None) -> dict[str, Any]:
    return {} if evaluation is None else {"against": evaluation.section()}


def _write_ledger(
    job: Job, decisions: Decisions, evaluation: Evaluation | None, on_progress: OnProgress
) -> None:
    output = job.spec.config.output
    format = format_of(output.format)

    def shards_of(stem: str, rows: int) -> list[str]:
        return [shard[0] for shard in format.names(stem, rows, output.rows_per_shard)]

    write_ledger(
        job.spec.output / LEDGER,
        job.spec.config,
        decisions,
        [source.file.path for source in job.inputs.sources],
        job.inputs.rows_of_files(job.ranges),
        shards_of,
        output.rows_per_shard,
        evaluation,
        on_progress,
        job.budget.threads,
    )


def _files(output: Path, written: dict[Fate, list[Written]]) -> list[OutputFile]:
    return [
        OutputFile(path.relative_to(output).as_posix(), name(fate), rows, path.stat().st_size, None)
        for fate, files in written.items()
        for path, rows in ((file.path, file.rows) for file in files)
    ]
