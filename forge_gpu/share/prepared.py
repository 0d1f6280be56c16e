"""A finished output folder, opened: what its manifest says, checked against what is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from forge_gpu.audit.manifest import REJECTED, read_config, read_manifest
from forge_gpu.config.schema import Config
from forge_gpu.errors import InputError, OutputError
from forge_gpu.io.atomic import inside
from forge_gpu.io.faults import first_line
from forge_gpu.job.output.result import LEDGER, MANIFEST, OutputFile, Split
from forge_gpu.job.state.place import FOLDER
from forge_gpu.plain import frozen


@frozen
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
    outputs = [OutputFile(**entry) for entry in manifest["outputs"]]
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


def require_sound(folder: Path, files: Iterable[OutputFile]) -> None:
    """Raises InputError where a file is not the one that was prepared, by the hash that was taken of it."""
    for file in files:
        path = folder / file.file
        with reading(path), path.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        if file.sha256 not in (None, digest):
            raise InputError(
                f"{path}: was changed since it was prepared: see forge verify, and prepare it again"
            )


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
