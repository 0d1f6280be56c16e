"""The output, read back from the disk: that it is what the manifest says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from threading import Lock
from typing import Any

from forge_gpu.errors import ValidationError
from forge_gpu.fates import Fate, name
from forge_gpu.in_turn import by_threads
from forge_gpu.io.sinks.registry import format_of
from forge_gpu.job.events.events import ChunkDone, Listener
from forge_gpu.job.events.memory import peak_memory
from forge_gpu.job.output.result import REJECTED_FORMAT, OutputFile
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.templates.forms import form_of

STAGE = "verify"


def verify(
    spec: JobSpec,
    files: Sequence[OutputFile],
    threads: int,
    listener: Listener,
    check_stop: Callable[[], None],
) -> tuple[list[OutputFile], dict[str, Any]]:
    """Read every file; returns them with their SHA-256, and what the manifest says of the check.

    Checks that each line has its end and is a JSON object, that each field is there, a string (or the JSON
    value its type asks for) and not empty where the form says so, and that rows and splits have the sizes
    that were decided. With more than one of `threads`, so many files are read at once, each hashed while
    others look at its lines. Raises ValidationError, and what `check_stop` raises.
    """
    fields = form_of(spec.config).fields(spec.config)

    def check(file: OutputFile) -> OutputFile:
        path = spec.output / file.file
        is_split = file.split != name(Fate.REJECTED)
        format = format_of(spec.config.output.format if is_split else REJECTED_FORMAT)
        rows, digest = format.check(path, fields if is_split else (), on_block, beside)
        if rows != file.rows:
            raise ValidationError(f"{path}: holds {rows} rows, but {file.rows} were decided")
        return replace(file, sha256=digest)

    on_block = _Progress(listener, check_stop)
    with ThreadPoolExecutor(threads, "forge-verify") if threads > 1 else nullcontext() as beside:
        checked = list(by_threads(check, files, threads))
    return checked, {
        "files": len(checked),
        "rows": sum(file.rows for file in checked),
        "fields": [field.name for field in fields],
    }


class _Progress:
    """Tells how far several files are read, one after the other."""

    def __init__(self, listener: Listener, check_stop: Callable[[], None]) -> None:
        self._listener, self._check_stop = listener, check_stop
        self._telling = Lock()

    def __call__(self, rows: int, size: int) -> None:
        with self._telling:
            self._listener(ChunkDone(STAGE, rows, size, 0.0, peak_memory()))
        self._check_stop()
