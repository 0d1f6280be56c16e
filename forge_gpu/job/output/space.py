"""The room that a job needs on its disk: asked for before it reads, and again before it writes.

Estimates, from the size of the input: what a template adds and a row leaves out is not known before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forge_gpu.config.schema import Config
from forge_gpu.fates import Fate, name
from forge_gpu.hardware import shares
from forge_gpu.hardware.host import read_memory
from forge_gpu.io.atomic import PARTIAL
from forge_gpu.io.disk import free_space, is_in_memory, output_fault, require_space
from forge_gpu.io.growing import GrowingFile
from forge_gpu.io.sinks.registry import format_of, is_unfinished
from forge_gpu.job.facts.registry import required_facts
from forge_gpu.job.rows.expansion import Expansions
from forge_gpu.job.rows.tokenizers import depends_on_lengths
from forge_gpu.job.state.checkpoint import Checkpoint
from forge_gpu.job.state.decisions import SPLITS, Decisions
from forge_gpu.job.state.index import RangeFacts
from forge_gpu.job.state.inputs import JobInputs
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.job.state.token_table import BYTES_OF_A_TOKEN
from forge_gpu.job.state.token_table import ROW as TOKEN_ROW
from forge_gpu.templates.forms import form_of

ROW = 500
"""Bytes of input that a row is taken to have. Shorter ones take more index, and less of all else."""

DECIDED_OF_A_ROW = 31
"""Bytes that a row takes in the decisions and while they are made; its facts in the index come on top."""

BYTES_OF_TEXT = 3
"""That a token stands for at least, but in odd languages."""

IDS_OF_A_BYTE = 4
"""Bytes of ids, labels and a mask, as JSON, that a byte of text becomes at most but in odd languages."""


def cut_unsaved(spec: JobSpec, checkpoint: Checkpoint) -> None:
    """Cut off what an earlier run wrote after its last checkpoint: it is written again, and where a full disk
    ended that run it takes the room for it. Raises OutputError."""
    outputs = [name(fate) for fate in (*SPLITS, Fate.REJECTED)]
    unfinished = [
        path for path in spec.output.iterdir() if any(is_unfinished(path.name, stem) for stem in outputs)
    ]
    for path in [*unfinished, *checkpoint.shuffle_folder.glob("*" + PARTIAL)]:
        position = checkpoint.state.positions.get(path.name, 0)
        try:
            if position:
                GrowingFile(path, position).close()
            else:
                path.unlink()
        except OSError as fault:
            raise output_fault(fault, path) from fault


def allot_room(spec: JobSpec, inputs: JobInputs, checkpoint: Checkpoint, expansions: Expansions) -> None:
    """Raise OutputError where all that is written will not fit; with a limit what is read is not known. Where
    tables are read, what is not needed may be taken by rows that are decoded once."""
    lines = _of_lines(inputs.total_bytes, spec.config) - _written(checkpoint)
    spooled = checkpoint.state.encoded_tokens * BYTES_OF_A_TOKEN
    tokens = max(_of_tokens(inputs.total_bytes, spec.config) - spooled, 0)
    needed = _of_index(spec, inputs, checkpoint, expansions) + tokens + lines
    if spec.limit is None:
        require_space(spec.output, needed, "preparing this input")
    if any(source.rows is not None for source in inputs.sources):
        inputs.kept.room = room_to_keep(spec.output, needed)


def room_to_keep(folder: Path, needed: int) -> int:
    """Bytes that a copy of decoded input may take, which a job can do without: of what is free and not needed
    for all else, and so few that the system's cache has them. None in a folder that lies in memory."""
    if is_in_memory(folder):
        return 0
    return max(min(free_space(folder) - needed, shares.KEPT.of(read_memory().available)), 0)


def require_for_index(
    spec: JobSpec, inputs: JobInputs, checkpoint: Checkpoint, expansions: Expansions
) -> None:
    """Raise OutputError where index and spool will not fit; what a job with a limit reads is not known."""
    if spec.limit is None:
        indexed = _of_index(spec, inputs, checkpoint, expansions)
        require_space(spec.output, indexed, "indexing this input")


def require_for_encoding(
    spec: JobSpec, inputs: JobInputs, checkpoint: Checkpoint, expansions: Expansions
) -> None:
    """Raise OutputError where the tokens that wait for a decision will not fit."""
    if spec.limit is None:
        there = checkpoint.state.encoded_tokens * BYTES_OF_A_TOKEN
        left = _of_tokens(expansions.grown(inputs.total_bytes), spec.config) - there
        require_space(spec.output, left, "encoding this input")


def require_for_writing(
    spec: JobSpec,
    inputs: JobInputs,
    checkpoint: Checkpoint,
    decisions: Decisions,
    ranges: Sequence[RangeFacts],
    expansions: Expansions,
) -> None:
    """Raise OutputError where the outputs will not fit."""
    read = sum(item.range.size for item, facts in zip(inputs.items, ranges, strict=True) if facts.rows)
    counts = decisions.counts()
    retained = sum(counts[fate] for fate in (*SPLITS, Fate.REJECTED))
    if decisions.first_copy is not None:
        retained += int(decisions.first_copy[-1]) - sum(counts[fate] for fate in SPLITS)
    share = expansions.grown(read) * retained // max(sum(counts.values()), 1)
    require_space(spec.output, _of_lines(share, spec.config) - _written(checkpoint), "writing the output")


def _of_lines(input_bytes: int, config: Config) -> int:
    """What the outputs of so much input take: lines as their format has them, and buckets for a shuffle."""
    lines = input_bytes + input_bytes // 4
    lines *= IDS_OF_A_BYTE if form_of(config).is_encoded else 1
    is_ordered_later = config.output.order == "shuffled" or config.output.packing != "none"
    shuffled = lines if is_ordered_later else 0
    return shuffled + format_of(config.output.format).room(lines)


def _of_tokens(input_bytes: int, config: Config) -> int:
    """What the tokens take that are made before they are written."""
    return input_bytes // BYTES_OF_TEXT * BYTES_OF_A_TOKEN if depends_on_lengths(config) else 0


def _of_index(spec: JobSpec, inputs: JobInputs, checkpoint: Checkpoint, expansions: Expansions) -> int:
    """What index, decisions and the rows that expansions leave in the spool take beside what is there."""
    counted = TOKEN_ROW.itemsize if form_of(spec.config).is_encoded else 0
    of_a_row = (
        DECIDED_OF_A_ROW + counted + sum(fact.row_bytes(spec.config) for fact in required_facts(spec.config))
    )
    there = sum(path.stat().st_size for path in checkpoint.index_folder.iterdir())
    return inputs.total_bytes // ROW * of_a_row - there + expansions.room(inputs.total_bytes)


def _written(checkpoint: Checkpoint) -> int:
    return sum(checkpoint.state.positions.values())
