"""Files that a job would write over: its own of an earlier run may go, anyone else's may not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson

from forge_gpu.errors import OutputError
from forge_gpu.fates import Fate, name
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.sinks.registry import is_output, names_in
from forge_gpu.job.output.result import LEDGER, MANIFEST
from forge_gpu.job.state.checkpoint import Checkpoint
from forge_gpu.job.state.decisions import SPLITS

ADVICE = "move it away, or choose another output folder"


def require_own(output: Path, checkpoint: Checkpoint, inputs: Sequence[InputFile]) -> None:
    """Raise OutputError for a file named as an output that is an input, or that no run of Forge wrote."""
    names = names_in(output, [name(fate) for fate in SPLITS])
    there = sorted(output / own for own in names if is_ours_by_name(own))
    read = {Path(file.path).resolve() for file in inputs if not file.is_remote and not file.is_stream}
    for path in there:
        if path.resolve() in read:
            raise OutputError(f"{path}: is an input, and the output would be written over it; {ADVICE}")
    if there and not checkpoint.exists() and not _holds_manifest(output / MANIFEST):
        raise OutputError(f"{there[0]}: already exists, and no run of Forge wrote it; {ADVICE}")


def is_ours_by_name(file: str) -> bool:
    stems = [name(fate) for fate in (*SPLITS, Fate.REJECTED)]
    return file in (LEDGER, MANIFEST) or any(is_output(file, stem) for stem in stems)


def _holds_manifest(path: Path) -> bool:
    try:
        return is_manifest(path.read_bytes())
    except OSError:
        return False


def is_manifest(data: bytes | None) -> bool:
    """Whether a file's content is that of a manifest of Forge; None where there is no file."""
    try:
        return data is not None and "forge" in orjson.loads(data)
    except (ValueError, TypeError):
        return False
