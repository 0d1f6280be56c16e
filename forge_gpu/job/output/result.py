"""What a job gives back: paths, counts, and readers that open a split only when they are asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import orjson

from forge_gpu.io.sinks.base import OutputPath
from forge_gpu.plain import frozen

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MANIFEST = "manifest.json"
LEDGER = "ledger.parquet"

PAGE = "report.html"
PAGE_BEGINNING = b"<!doctype html>\n<!-- made by Forge"
"""A page that one who looked at the job may leave beside the output; by its beginning it is known as ours."""

SHOWN_ROWS, SHOWN_CHARACTERS = 3, 300
"""Of a split in a notebook."""

REJECTED_FORMAT = "jsonl"
"""Rejected rows are of no split: whatever format splits have, theirs is this one."""


@frozen
class OutputFile:
    """One file of the output: its name in the folder, its split (or "rejected"), rows and bytes.

    sha256: of its bytes, None where the output was not verified.
    """

    file: str
    split: str
    rows: int
    bytes: int
    sha256: str | None


@frozen
class Split:
    """The rows of one split, in its files. Nothing is read before a method asks for it."""

    name: str
    format: str
    paths: Sequence[OutputPath]
    rows: int
    columns: dict[str, str]

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows as dictionaries, read as they are taken."""
        for batch in self.iter_batches():
            yield from batch.to_pylist()

    @overload
    def __getitem__(self, rows: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, rows: slice) -> pa.Table: ...
    def __getitem__(self, rows: int | slice) -> dict[str, Any] | pa.Table:
        """One row as a dictionary, or a slice of them as an Arrow table: what lies before is read as well."""
        if isinstance(rows, slice):
            import pyarrow as pa

            required = range(self.rows)[rows]
            low, high = min(required, default=0), max(required, default=-1) + 1
            return self._between(low, high).take(pa.array([row - low for row in required], pa.int64()))
        if not -self.rows <= rows < self.rows:
            raise IndexError(f"{self.name} has {self.rows} rows, and none with the number {rows}")
        row = rows % self.rows
        result: dict[str, Any] = self._between(row, row + 1).to_pylist()[0]
        return result

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The rows for whatever reads Arrow, batch by batch."""
        import pyarrow as pa

        from forge_gpu.io.sinks.lines import schema_of

        reader = pa.RecordBatchReader.from_batches(schema_of(self.columns), self.iter_batches())
        return reader.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        columns = ", ".join(f"{name}: {kind}" for name, kind in self.columns.items())
        files = f"{len(self.paths)} file" + "s" * (len(self.paths) != 1)
        return f"<Split {self.name}: {self.rows} rows of {columns or 'records'} in {files}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first rows, their texts cut, and how many there are."""
        rows = [list(row.values()) for row in self._between(0, min(SHOWN_ROWS, self.rows)).to_pylist()]
        cells = ["".join(f"<td><pre>{_shown(value)}</pre></td>" for value in row) for row in rows]
        names = "".join(f"<th>{escape(name)}</th>" for name in self.columns or ("record",))
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        more = f"{self.rows:,} rows of {escape(self.name)}"
        return f"<table><tr>{names}</tr>{body}</table><div>{more}</div>"

    def head(self, rows: int = 5) -> pd.DataFrame:
        """The first rows as a pandas frame, as `to_pandas` has them; no more of the files is read."""
        return _pandas_of(self._between(0, max(0, min(rows, self.rows))))

    def _between(self, low: int, high: int) -> pa.Table:
        """Rows low ... high - 1."""
        import pyarrow as pa

        from forge_gpu.io.sinks.lines import schema_of

        result, first = [], 0
        for batch in self.iter_batches() if low < high else ():
            begin, end = max(low - first, 0), min(high - first, len(batch))
            if begin < end:
                result.append(batch.slice(begin, end - begin))
            first += len(batch)
            if first >= high:
                break
        return pa.Table.from_batches(result, schema_of(self.columns))

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
        return _pandas_of(self.to_arrow())

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


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return escape(text[:SHOWN_CHARACTERS] + "\N{HORIZONTAL ELLIPSIS}" * (len(text) > SHOWN_CHARACTERS))


def _pandas_of(table: pa.Table) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


@frozen
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

    def _repr_html_(self) -> str:
        """What a notebook shows: how many rows have each fate, why rows are rejected, where the report is."""
        total = max(sum(self.counts.values()), 1)
        rows = "".join(
            f"<tr><td>{fate}</td><td>{count:,}</td><td>{100 * count / total:.1f}%</td>"
            f"<td><progress max='1' value='{count / total:.4f}'></progress></td></tr>"
            for fate, count in self.counts.items()
            if count
        )
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.manifest["rejected"].items())
        rejected_line = f"<div>rejected: {escape(reasons)}</div>" if reasons else ""
        page = self.output / PAGE
        if isinstance(page, Path) and page.exists():
            rejected_line += f"<div>report: {escape(str(page))}</div>"
        head = f"<tr><th>{escape(str(self.output))}</th><th>rows</th><th></th><th></th></tr>"
        return f"<table>{head}{rows}</table>{rejected_line}"

    @property
    def rejected_path(self) -> OutputPath:
        """The file of rejected rows, a line of JSON each, with the reason and the source."""
        files = [OutputFile(**entry) for entry in self.manifest["outputs"]]
        return self.output / next(file.file for file in files if file.split == "rejected")

    @property
    def ledger_path(self) -> OutputPath:
        """The ledger: Parquet, a row for each input row."""
        return self.output / LEDGER

    @classmethod
    def of(cls, output: OutputPath, manifest: dict[str, Any], was_finished: bool = False) -> Result:
        """The result that a manifest describes. output: the folder or URL that it lies in."""
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
