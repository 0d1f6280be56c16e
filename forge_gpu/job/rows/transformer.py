"""The rows that a transform script makes: made once, and left in the spool."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.errors import OutputError
from forge_gpu.fates import Reason
from forge_gpu.io.atomic import make_folder
from forge_gpu.io.sinks.base import Sink
from forge_gpu.job.rows.expansion import DETAIL, PLACE, Expanded
from forge_gpu.job.state import arrays
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.scan import scan_records
from forge_gpu.kernels.layout import I64, Records, Spans
from forge_gpu.sandbox.contract import Script, contract, read_script
from forge_gpu.sandbox.inside.frames import REJECTED
from forge_gpu.sandbox.layers import SandboxError, read_layers
from forge_gpu.sandbox.sandbox import Bounds, Sandbox
from forge_gpu.sandbox.transform import Transformed, run, unlike
from forge_gpu.templates.forms.source import RECORD

SPOOLED = "transformed-"
"""How the names of files in the spool begin that hold what came out."""

SAMPLE = 64
"""Rows that are run twice before any result is used."""


class Transformer:
    """The script of a job. Several threads may use it; it starts as many processes as they need, at most
    `data.transform.processes`.

    folder: where what came out is left, by a digest of the script, of its contract and of the rows; so
    neither the second pass nor a job that goes on asks the script again.
    """

    def __init__(self, script: Script, config: Config, folder: Path) -> None:
        settings = config.data.transform
        self.script = script
        self._bounds = Bounds(settings.seconds, settings.memory)
        self._max_row_bytes = config.data.max_row_bytes
        self._folder = folder
        most = os.cpu_count() or 1 if settings.processes == "auto" else settings.processes
        self._room = BoundedSemaphore(most)
        self._idle: list[Sandbox] = []
        self._lock = Lock()
        self._is_tried = False

    def __call__(self, rows: Sequence[bytes]) -> Transformed:
        """What came of rows, each a JSON object. Raises SandboxError, OutputError."""
        path = self._folder / f"{SPOOLED}{self._key_of(rows)}"
        result = _read(path, len(rows))
        if result is None:
            self._try(rows[:SAMPLE])
            with self._room:
                result = self._run(rows)
            make_folder(self._folder)
            arrays.write(path, _arrays(result))
        return result

    @property
    def key(self) -> str:
        return self.script.key

    def expand(self, config: Config, engine: Engine, records: Records) -> Expanded:
        record = records.columns[RECORD]
        made = self([record.raw(row) for row in range(len(records))])
        return _expanded(
            made, [name for name in records.columns if name not in (RECORD, DETAIL, PLACE)], config
        )

    def room(self, input_bytes: int) -> int:
        """What it leaves in the spool, taken to be as much as it is given."""
        return max(input_bytes - self.made(), 0)

    def made(self) -> int:
        return sum(path.stat().st_size for path in self._folder.glob(f"{SPOOLED}*"))

    def written(self, records: Records, rows: I64) -> None:
        """Nothing lies beside its rows."""

    def around(self, sink: Sink) -> Sink:
        return sink

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            while self._idle:
                self._idle.pop().__exit__(None, None, None)

    def section(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {"sha256": self.script.sha256, "contract": contract()["version"]}

    def _key_of(self, rows: Sequence[bytes]) -> str:
        digest = hashlib.blake2b(self.script.key.encode(), digest_size=20)
        digest.update(np.array([self._max_row_bytes, *map(len, rows)], np.int64).tobytes())
        for row in rows:
            digest.update(row)
        return digest.hexdigest()

    def _run(self, rows: Sequence[bytes]) -> Transformed:
        with self._lock:
            sandbox = self._idle.pop() if self._idle else None
        if sandbox is None:
            sandbox = Sandbox(self.script, self._bounds).__enter__()
        made = run(sandbox, rows, self._max_row_bytes)
        with self._lock:
            self._idle.append(sandbox)
        return made

    def _try(self, rows: Sequence[bytes]) -> None:
        """Once: some rows in two processes, in two orders. Raises SandboxError where a result differs."""
        with self._lock:
            if self._is_tried:
                return
            with (
                Sandbox(self.script, self._bounds) as one,
                Sandbox(self.script, self._bounds, by_row=True) as other,
            ):
                differing = unlike(one, other, rows)
            if differing is not None:
                source = rows[differing].decode("utf-8", "replace")
                raise SandboxError(
                    f"{self.script.path}: a row's result changes when it runs again, in another order or in "
                    "another batch; it must depend on the row alone",
                    f": {source[:200]}",
                )
            self._is_tried = True


def open_script(spec: JobSpec, folder: Path) -> Transformer:
    """Raises ConfigError where there is no such script, SandboxError where files cannot be closed to it."""
    named = spec.config.data.transform.script
    assert named is not None
    read_layers().require()
    return Transformer(read_script(spec.base / named), spec.config, folder)


def _expanded(made: Transformed, names: Sequence[str], config: Config) -> Expanded:
    is_rejected = made.counts == REJECTED
    parts = np.where(is_rejected, 1, made.counts)
    rejected = np.repeat(is_rejected, parts)
    data = np.frombuffer(made.lines, np.uint8)
    scanned = scan_records(data, "lines", names, config.data.max_row_bytes)
    of_reasons = [reason.encode() for reason in made.reasons]
    lengths = np.array([len(reason) for reason in of_reasons], np.int64)
    ends = np.cumsum(lengths)
    texts = np.frombuffer(b"".join(of_reasons), np.uint8)

    def placed(where: np.ndarray, data: Any, start: Any, length: Any, kind: Any) -> Spans:
        """Values at those parts; nothing at the others."""
        column = Spans(
            data, np.zeros(len(where), np.int64), np.zeros(len(where), np.int64), _absent(len(where))
        )
        column.start[where], column.length[where], column.kind[where] = start, length, kind
        return column

    columns = {
        name: placed(~rejected, data, column.start, column.length, column.kind)
        for name, column in scanned.columns.items()
    }
    columns[RECORD] = placed(~rejected, data, scanned.start, scanned.length, layout.JSON)
    columns[DETAIL] = placed(rejected, texts, ends - lengths, lengths, layout.PLAIN)
    reason = np.where(rejected, Reason.TRANSFORM_ERROR, Reason.NONE).astype(np.uint8)
    return Expanded(np.repeat(np.arange(len(made.counts)), parts), columns, reason)


def _absent(rows: int) -> np.ndarray:
    return np.full(rows, layout.ABSENT, np.uint8)


def _arrays(made: Transformed) -> dict[str, np.ndarray]:
    reasons = "\n".join(made.reasons).encode()
    return {
        "counts": made.counts,
        "lines": np.frombuffer(made.lines, np.uint8),
        "reasons": np.frombuffer(reasons, np.uint8),
    }


def _read(path: Path, rows: int) -> Transformed | None:
    """What an earlier call left; None where there is nothing, or something torn."""
    try:
        held = arrays.read(path, None)
    except (OSError, OutputError):
        return None
    counts, reasons = held["counts"], held["reasons"].tobytes().decode()
    rejected = int((counts == REJECTED).sum())
    if len(counts) != rows or (reasons.count("\n") + 1 if rejected else 0) != rejected:
        return None
    return Transformed(counts, held["lines"].tobytes(), tuple(reasons.split("\n")) if rejected else ())
