"""The output, read back from the disk: that it is what the manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import ValidationError
from forge_gpu.job.events import ChunkDone, Listener
from forge_gpu.job.memory import peak_memory
from forge_gpu.job.read_back import NO_BOUND, blocks_of_lines, check_lines
from forge_gpu.job.result import OutputFile
from forge_gpu.job.spec import JobSpec
from forge_gpu.kernels import layout

STAGE = "verify"


def verify(
    spec: JobSpec,
    files: Sequence[OutputFile],
    columns: dict[str, str],
    fields: Sequence[str],
    listener: Listener,
) -> tuple[list[OutputFile], dict[str, Any]]:
    """Read every file; returns them with their SHA-256, and what the manifest says of the check.

    Checks that each line is a JSON object, that each field is there, a string (or the JSON value its type
    asks for) and not empty where the form is `text`, and that rows and splits have the sizes that were
    decided. Raises ValidationError.
    """
    checked = []
    for file in files:
        path = spec.output / file.file
        required = () if file.split == "rejected" else tuple(fields)
        if path.suffix == ".parquet":
            rows, digest = _verify_parquet(path, required, listener)
        else:
            rows, digest = _verify_lines(path, required, columns, spec.config.output.form == "text", listener)
        if rows != file.rows:
            raise ValidationError(f"{path}: holds {rows} rows, {file.rows} were decided")
        checked.append(replace(file, sha256=digest))
    return checked, {
        "files": len(checked),
        "rows": sum(file.rows for file in checked),
        "fields": list(fields),
    }


def _verify_lines(
    path: Path, required: Sequence[str], columns: dict[str, str], not_empty: bool, listener: Listener
) -> tuple[int, str]:
    engine = CpuEngine()
    digest = hashlib.sha256()
    rows = 0
    for block in blocks_of_lines(path):
        digest.update(block.data)
        records = engine.scan(block, "lines", required, NO_BOUND)
        check_lines(path, records)
        for field in required:
            column = records.columns[field]
            if columns[field] == "json":
                good = column.kind == layout.JSON
            else:
                good = (column.kind == layout.CLEAN) | (column.kind == layout.ESCAPED)
                if not_empty:
                    good &= column.length > 0
            if not good.all():
                row = rows + int(np.flatnonzero(~good)[0])
                raise ValidationError(f"{path}: line {row + 1} has no {field}")
        rows += len(records)
        listener(ChunkDone(STAGE, len(records), len(block), 0.0, peak_memory()))
    return rows, digest.hexdigest()


def _verify_parquet(path: Path, required: Sequence[str], listener: Listener) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = 0
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(8192, columns=list(required)):
            for field in required:
                if batch[field].null_count:
                    raise ValidationError(f"{path}: rows from {rows} on have no {field}")
            rows += len(batch)
        rows = table.metadata.num_rows if not required else rows
    listener(ChunkDone(STAGE, rows, path.stat().st_size, 0.0, peak_memory()))
    return rows, digest
