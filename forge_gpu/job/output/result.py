"""What a job gives back: paths, counts, and readers that open a split only when they are asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from forge_gpu.io.sinks.base import OutputPath

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MANIFEST = "manifest.json"
LEDGER = "ledger.parquet"

REJECTED_FORMAT = "jsonl"
"""Rejected rows are of no split: whatever format splits have, theirs is this one."""


@dataclass(frozen=True)
class OutputFile:
    """One file of the output: its name in the folder, its split (or "rejected"), rows and bytes.

    sha256: of its bytes, None where the output was not verified.
    """

    file: str
    split: str
    rows: int
    bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Split:
    """The rows of one split, in its files. Nothing is read before a method asks for it."""

    name: str
    format: str
    paths: Sequence[OutputPath]
    rows: int
    columns: dict[str, str]

    def iter_batches(self, batch_rows: int = 8192) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow batches of at most `batch_rows`: text columns as large_string; kept columns as
        int64, double, bool or large_string, as the manifest's `columns` says. The form `source` has one
        column, record: the whole of each, as JSON text. Raises ForgeError."""
        from forge_gpu.job.output.read_back import iter_batches, require_rows

        require_rows(batch_rows)
        return iter_batches(self.format, self.paths, self.columns, batch_rows)

    def to_arrow(self) -> pa.Table:
        """All rows as one Arrow table."""
        import pyarrow as pa

        from forge_gpu.io.sinks.lines import schema_of

        return pa.Table.from_batches(list(self.iter_batches()), schema_of(self.columns))

    def to_pandas(self) -> pd.DataFrame:
        """All rows as a pandas frame whose columns are Arrow arrays (ArrowDtype), without a copy."""
        import pandas as pd

        frame: pd.DataFrame = self.to_arrow().to_pandas(types_mapper=pd.ArrowDtype)
        return frame

    def to_hf(self) -> Any:
        """All rows as a `datasets.Dataset`. Raises ForgeError where `datasets` is not installed."""
        from forge_gpu.errors import ForgeError

        try:
            import datasets
        except ImportError as error:
            lacking = isinstance(error, ModuleNotFoundError) and error.name == "datasets"
            why = "pip install datasets" if lacking else f"it is installed, but fails: {error}"
            raise ForgeError(f"to_hf needs the package datasets: {why}") from None
        return datasets.Dataset(self.to_arrow())


@dataclass(frozen=True)
class Result:
    """What `prepare` made. counts: rows of every fate. used_streaming: whether the input was read from its
    files in both passes; what is small is read once and held in memory. peak_memory: bytes, the most this
    process ever held. manifest: the whole of manifest.json.
    """

    output: OutputPath
    counts: dict[str, int]
    splits: dict[str, Split]
    used_streaming: bool
    peak_memory: int
    manifest: dict[str, Any] = field(repr=False)
    was_finished: bool = False  # nothing was done: an earlier run had made exactly this

    @property
    def rejected_path(self) -> OutputPath:
        files = [OutputFile(**entry) for entry in self.manifest["outputs"]]
        return self.output / next(file.file for file in files if file.split == "rejected")

    @property
    def ledger_path(self) -> OutputPath:
        return self.output / LEDGER

    @classmethod
    def of(cls, output: OutputPath, manifest: dict[str, Any], was_finished: bool = False) -> Result:
        files = [OutputFile(**entry) for entry in manifest["outputs"]]
        splits = {}
        for split in dict.fromkeys(file.split for file in files if file.split != "rejected"):
            chosen = [file for file in files if file.split == split]
            splits[split] = Split(
                name=split,
                format=manifest["config"]["output"]["format"],
                paths=[output / file.file for file in chosen],
                rows=sum(file.rows for file in chosen),
                columns=manifest["columns"],
            )
        run = manifest["run"]
        return cls(
            output=output,
            counts=manifest["counts"],
            splits=splits,
            used_streaming=run["used_streaming"],
            peak_memory=run["peak_memory"],
            manifest=manifest,
            was_finished=was_finished,
        )

    @classmethod
    def load(cls, output: Path, manifest_sha256: str) -> Result | None:
        """The result of a finished job, or None where its files are no longer as it left them."""
        try:
            data = (output / MANIFEST).read_bytes()
            if hashlib.sha256(data).hexdigest() != manifest_sha256:
                return None
            manifest = orjson.loads(data)
            for entry in manifest["outputs"]:
                if (output / entry["file"]).stat().st_size != entry["bytes"]:
                    return None
        except OSError:
            return None
        return cls.of(output, manifest, was_finished=True)
