"""The whole comparison of two prepared folders."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from forge_gpu.errors import OutputError
from forge_gpu.plain import frozen
from forge_gpu.share.differ.ledger import Ledger
from forge_gpu.share.differ.row_hashes import write_hashes
from forge_gpu.share.differ.rows import OnRow, RowChanges, RowComparison
from forge_gpu.share.differ.settings import (
    Difference,
    differences,
    input_differences,
    same_inputs,
    settings_of,
    tokens_of,
)
from forge_gpu.share.differ.texts import TextChanges, compare_texts
from forge_gpu.share.prepared import Prepared, open_prepared


@frozen
class Comparison:
    """a, b: the folders. columns: those that one alone has, or of another type. splits: those whose rows,
    bytes or files differ. renamed: inputs of A that have another path in B."""

    a: str
    b: str
    settings: list[Difference]
    inputs: list[Difference]
    renamed: dict[str, str]
    columns: list[Difference]
    splits: list[Difference]
    tokens: list[Difference]
    rows: RowChanges
    texts: TextChanges

    @property
    def is_same(self) -> bool:
        """Whether both are the same, however they were made and wherever their inputs lay."""
        parts = (self.settings, self.inputs, self.columns, self.splits, self.tokens, self.rows.by)
        texts = self.texts
        return not any(parts) and not (texts.only_in_a or texts.only_in_b or texts.moved)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        moves = [{"a": a, "b": b, "rows": rows} for (a, b), rows in sorted(self.rows.moves.items())]
        return {
            "same": self.is_same,
            "a": self.a,
            "b": self.b,
            "settings": self.settings,
            "inputs": self.inputs,
            "renamed": self.renamed,
            "columns": self.columns,
            "splits": self.splits,
            "tokens": self.tokens,
            "rows": {
                "compared": self.rows.compared,
                "fates": moves,
                **{change: of.to_dict() for change, of in self.rows.by.items()},
            },
            "texts": asdict(self.texts),
        }


def compare(
    a: str | Path,
    b: str | Path,
    on_row: OnRow | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Compare two folders that forge prepare has written.

    on_row: hears of every changed row, as `{"change", "file", "row", …}`. on_progress: hears how many rows of
    how many are read. Memory does not grow with the rows; the disk of the temporary folder takes up to 50
    bytes a row meanwhile. Raises InputError where one is not prepared, OutputError where that disk is full.
    """
    folders = open_prepared(a), open_prepared(b)
    columns = [of.manifest["columns"] for of in folders]
    shared = [name for name, kind in columns[0].items() if columns[1].get(name) == kind]
    if not columns[0] and not columns[1]:
        shared = ["record"]  # the form `source`, whose rows are records
    total = sum(file.rows for of in folders for files in of.split_files.values() for file in files)
    done = 0

    def on_rows(rows: int) -> None:
        nonlocal done
        done += rows
        on_progress(done, total)

    names = same_inputs(*folders)
    ledgers = Ledger(folders[0].ledger), Ledger(folders[1].ledger)
    with _scratch() as scratch:
        hashes = (
            write_hashes(folders[0], shared, scratch / "hashes-a", on_rows),
            write_hashes(folders[1], shared, scratch / "hashes-b", on_rows),
        )
        rows = RowComparison(ledgers, hashes, on_row).run(names)
        texts = compare_texts(folders, hashes, scratch)
    return Comparison(
        a=str(a),
        b=str(b),
        settings=differences(settings_of(folders[0]), settings_of(folders[1])),
        inputs=input_differences(*folders, names),
        renamed={one: other for one, other in names.items() if one != other},
        columns=differences(*columns),
        splits=differences(*map(_splits, folders)),
        tokens=differences(tokens_of(folders[0]), tokens_of(folders[1])),
        rows=rows,
        texts=texts,
    )


def _scratch() -> Any:
    try:
        return _Folder(prefix="forge-diff-")
    except OSError as fault:
        raise OutputError(
            f"{tempfile.gettempdir()}: cannot be written: {fault.strerror}; set TMPDIR"
        ) from fault


class _Folder(tempfile.TemporaryDirectory[str]):
    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


def _splits(prepared: Prepared) -> dict[str, Any]:
    """Of each split what its files are."""
    return {
        split: {
            "rows": sum(file.rows for file in files),
            "bytes": sum(file.bytes for file in files),
            "files": len(files),
            "sha256": [file.sha256 for file in files],
        }
        for split, files in prepared.split_files.items()
    }
