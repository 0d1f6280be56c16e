"""The output, read back from the disk: that it is what the manifest says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from forge_gpu.errors import ValidationError
from forge_gpu.fates import Fate, name
from forge_gpu.io.sinks.base import Format
from forge_gpu.io.sinks.registry import format_of
from forge_gpu.job.events.events import ChunkDone, Listener
from forge_gpu.job.events.memory import peak_memory
from forge_gpu.job.output.result import REJECTED_FORMAT, OutputFile
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.lines import Field

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
    that were decided. With more than one of `threads`, so many files are read at once, each hashed while its
    lines are looked at. Raises ValidationError, and what `check_stop` raises.
    """
    fields = form_of(spec.config).fields(spec.config)
    reader = _Reader(fields, listener, check_stop)

    def check(file: OutputFile) -> OutputFile:
        path = spec.output / file.file
        is_split = file.split != name(Fate.REJECTED)
        format = format_of(spec.config.output.format if is_split else REJECTED_FORMAT)
        rows, digest = reader.read(format, path, is_split, hash_beside=threads > 1)
        if rows != file.rows:
            raise ValidationError(f"{path}: holds {rows} rows, but {file.rows} were decided")
        return replace(file, sha256=digest)

    if threads > 1:
        with ThreadPoolExecutor(threads, "forge-verify") as pool:
            checked = list(pool.map(check, files))
    else:
        checked = [check(file) for file in files]
    return checked, {
        "files": len(checked),
        "rows": sum(file.rows for file in checked),
        "fields": [field.name for field in fields],
    }


class _Reader:
    """Reads output files back, several at once."""

    def __init__(
        self,
        fields: tuple[Field, ...],
        listener: Listener,
        check_stop: Callable[[], None],
    ) -> None:
        self._fields = fields
        self._listener = listener
        self._check_stop = check_stop
        self._telling = Lock()

    def read(self, format: Format, path: Path, has_fields: bool, hash_beside: bool) -> tuple[int, str]:
        """The rows of a file, whose fields are checked, and its SHA-256."""
        fields = self._fields if has_fields else ()
        with ThreadPoolExecutor(1, "forge-hash") if hash_beside else nullcontext() as beside:
            return format.check(path, fields, self._on_block, beside)

    def _on_block(self, rows: int, size: int) -> None:
        with self._telling:
            self._listener(ChunkDone(STAGE, rows, size, 0.0, peak_memory()))
        self._check_stop()
