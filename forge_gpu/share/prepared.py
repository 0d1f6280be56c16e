"""A finished output folder, opened: what its manifest says, checked against what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge_gpu.audit.folder import REJECTED, read_config, read_manifest
from forge_gpu.config.schema import Config
from forge_gpu.errors import InputError, OutputError
from forge_gpu.fates import name
from forge_gpu.io.atomic import inside
from forge_gpu.io.faults import first_line
from forge_gpu.job.output.output_guard import is_ours_by_name
from forge_gpu.job.output.result import LEDGER, MANIFEST, OutputFile, Split
from forge_gpu.job.state.decisions import SPLITS
from forge_gpu.job.state.place import FOLDER

NUMBERS = ("rows", "bytes")
KINDS = {"string", "json", "int64", "double", "bool", "ids"}
"""Types of columns that a manifest names."""


@dataclass(frozen=True)
class Prepared:
    """config: the settings that the output depends on. outputs: the files of splits, and of rejected rows."""

    folder: Path
    manifest: dict[str, Any]
    config: Config
    outputs: Sequence[OutputFile]

    @property
    def split_files(self) -> dict[str, list[OutputFile]]:
        """The files of each split, in the order of its rows."""
        files: dict[str, list[OutputFile]] = {}
        for file in self.outputs:
            if file.split != REJECTED:
                files.setdefault(file.split, []).append(file)
        return files

    @property
    def splits(self) -> dict[str, Split]:
        """Each split, to be read."""
        return {
            split: Split(
                split,
                self.config.output.format,
                [self.folder / file.file for file in files],
                sum(file.rows for file in files),
                self.manifest["columns"],
            )
            for split, files in self.split_files.items()
        }

    @property
    def settings_of_run(self) -> dict[str, Any]:
        """Those that no byte depends on, as far as they were noted."""
        noted = self.manifest["run"].get("settings")
        return noted if isinstance(noted, dict) else {}

    @property
    def ledger(self) -> Path:
        return self.folder / LEDGER


def open_prepared(folder: str | Path) -> Prepared:
    """What forge prepare has left in a folder. Raises InputError where that is not a whole output."""
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "there is no such folder"
        raise InputError(f"{folder}: {what}; name the output folder of forge prepare")
    if not (folder / MANIFEST).exists() and (folder / FOLDER).is_dir():
        raise InputError(f"{folder}: its job is not finished; run forge prepare again, and it goes on")
    manifest = read_manifest(folder)
    try:
        _check(manifest)
        outputs = [OutputFile(**entry) for entry in manifest["outputs"]]
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise InputError(f"{folder / MANIFEST}: is no manifest of Forge: {fault}") from None
    config = read_config(folder, manifest)
    for file in outputs:
        _require(folder, file)
    return Prepared(folder, manifest, config, outputs)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raises InputError for a file of an output that cannot be read as what it is."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, KeyError, ValueError) as fault:
        raise InputError(f"{path}: cannot be read: {first_line(fault)}; see forge verify") from fault


def _check(manifest: dict[str, Any]) -> None:
    """Of a manifest, which may be anyone's, what is read of it. Raises ValueError, TypeError, KeyError."""
    for key in ("counts", "rejected", "columns", "template", "run", "config"):
        if not isinstance(manifest[key], dict):
            raise ValueError(f"{key} is no object")
    for key in ("counts", "rejected"):
        if not all(type(rows) is int and rows >= 0 for rows in manifest[key].values()):
            raise ValueError(f"{key} holds what is no number of rows")
    if not set(manifest["columns"].values()) <= KINDS or not isinstance(manifest["forge"], str):
        raise ValueError("columns holds what is no type, or forge what is no version")
    for entry in manifest["inputs"]:
        if not isinstance(entry["path"], str) or type(entry["rows"]) is not int:
            raise ValueError("inputs holds what is no input")
    for entry in manifest["outputs"]:
        if not all(type(entry[key]) is int and entry[key] >= 0 for key in NUMBERS):
            raise ValueError("outputs holds what is no number")
        if entry["split"] not in {*map(name, SPLITS), REJECTED} or not is_ours_by_name(entry["file"]):
            raise ValueError(f"outputs names {entry['file']!r}, which is no file of a split")


def _require(folder: Path, file: OutputFile) -> None:
    """Raises InputError unless a file is there, of the size that the manifest says."""
    try:
        path = inside(folder, file.file)
        size = path.stat().st_size
    except OutputError as fault:
        raise InputError(f"{folder / MANIFEST}: {fault}") from None
    except OSError as fault:
        raise InputError(f"{folder / file.file}: {fault.strerror}; prepare it again") from None
    if size != file.bytes:
        raise InputError(
            f"{path}: has {size:,} bytes, the manifest says {file.bytes:,}: it was changed; prepare it again"
        )
