"""The tokens of a split as flat arrays in mapped files, made once, of whatever format the output has.

`input_ids` and `labels`: int32[t]; `at`: int64[n + 1], where each line begins; of packs `seq_lengths`:
int32[s], and `seq_at`: int64[n + 1]. They lie in `.forge/mapped/` of the prepared folder, or in the user's
cache where that folder cannot be written, in a folder that is named by what the output is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from forge_gpu.errors import InputError, OutputError
from forge_gpu.io.atomic import PARTIAL
from forge_gpu.io.growing import GrowingFile
from forge_gpu.io.lock import FolderLock
from forge_gpu.io.modes import make_private
from forge_gpu.io.sinks.token_columns import IDS, LABELS, LENGTHS
from forge_gpu.job.state.place import FOLDER
from forge_gpu.kernels.cache import cache_folder
from forge_gpu.kernels.layout import I64
from forge_gpu.plain import frozen
from forge_gpu.share.prepared import Prepared, reading, require_sound

I32 = npt.NDArray[np.int32]

AT, LENGTHS_AT = "at", "seq_at"
MAPPED = "mapped"
BATCH_ROWS = 8192


@frozen
class MappedSplit:
    """The files of one split. It may travel to another process, which maps them anew."""

    folder: Path

    def __reduce__(self) -> tuple[type[MappedSplit], tuple[Path]]:
        return MappedSplit, (self.folder,)

    @cached_property
    def ids(self) -> I32:
        ids: I32 = self._array(IDS, "<i4")
        return ids

    @cached_property
    def labels(self) -> I32 | None:
        """None where every token is trained."""
        return self._array(LABELS, "<i4") if (self.folder / LABELS).exists() else None

    @cached_property
    def at(self) -> I64:
        at: I64 = self._array(AT, "<i8")
        return at

    @cached_property
    def lengths(self) -> tuple[I32, I64] | None:
        """(lengths of the rows in packs, where those of each pack begin); None where a line is one row."""
        if not (self.folder / LENGTHS).exists():
            return None
        return self._array(LENGTHS, "<i4"), self._array(LENGTHS_AT, "<i8")

    @property
    def tokens(self) -> I64:
        """Of each line: int64[n]."""
        return np.diff(self.at)

    def _array(self, name: str, dtype: str) -> Any:
        path = self.folder / name
        try:
            with path.open("rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    return np.zeros(0, dtype)
                # A plain array over the map: slices of np.memmap cost ten times as much.
                return np.asarray(np.memmap(file, dtype, "r")).view(np.ndarray)
        except (OSError, ValueError) as fault:
            raise InputError(
                f"{path}: cannot be read: {fault}; remove {self.folder}, it is made anew"
            ) from None


def mapped_split(prepared: Prepared, split: str) -> MappedSplit:
    """The mapped files of a split, made now where they are not there. Raises ForgeError."""
    name = f"{split}-{_digest(prepared, split)}"
    own = prepared.folder / FOLDER / MAPPED
    elsewhere = cache_folder().parent.parent / MAPPED
    for home in (own, elsewhere):
        if (home / name / AT).exists():
            return MappedSplit((home / name).absolute())
    home = own if _is_ours(own) else elsewhere
    with FolderLock(home):
        if not (home / name).exists():  # another process may have made it meanwhile
            for stale in list(home.glob(f"{split}-*")) if home == own else ():
                shutil.rmtree(stale, ignore_errors=True)
            require_sound(prepared.folder, prepared.split_files[split])
            _make(prepared, split, home / name)
    return MappedSplit((home / name).absolute())


def _is_ours(folder: Path) -> bool:
    """Whether a folder in `.forge` of a prepared one is, or can be made, this user's alone, without links."""
    if not os.access(folder.parent.parent, os.W_OK):
        return False
    try:
        make_private(make_private(folder.parent) / folder.name)
    except OutputError:
        return False
    return True


def _digest(prepared: Prepared, split: str) -> str:
    """Of what the output is, from its manifest: files that were not hashed are known by when they changed."""
    told = [
        [file.file, file.rows, file.bytes, file.sha256 or (prepared.folder / file.file).stat().st_mtime_ns]
        for file in prepared.split_files[split]
    ]
    where = str(prepared.folder.resolve())
    return hashlib.sha256(orjson.dumps([told, prepared.manifest["columns"], where])).hexdigest()[:16]


def _make(prepared: Prepared, split: str, folder: Path) -> None:
    partial = folder.with_name(folder.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    names = [name for name in (IDS, LABELS, LENGTHS) if name in prepared.manifest["columns"]]
    with (
        reading(prepared.folder),
        _files(partial, [*names, AT, *([LENGTHS_AT] if LENGTHS in names else [])]) as files,
    ):
        ends = {AT: np.zeros(1, np.int64), LENGTHS_AT: np.zeros(1, np.int64)}
        for at, file in files.items():
            if at in ends:
                file.write(ends[at].view(np.uint8))
        for batch in prepared.splits[split].iter_batches(BATCH_ROWS):
            for name in names:
                files[name].write(batch[name].flatten().to_numpy().astype("<i4", copy=False).view(np.uint8))
            for at, of in ((AT, IDS), (LENGTHS_AT, LENGTHS)):
                if at in files:
                    counts = np.diff(batch[of].offsets.to_numpy()).astype(np.int64)
                    ends[at] = ends[at][-1] + np.cumsum(counts, dtype="<i8")
                    files[at].write(ends[at].view(np.uint8))
                    ends[at] = ends[at][-1:]
        for file in files.values():
            file.sync()
    os.replace(partial, folder)


@contextmanager
def _files(folder: Path, names: list[str]) -> Iterator[dict[str, GrowingFile]]:
    try:
        with ExitStack() as stack:
            yield {name: stack.enter_context(closing(GrowingFile(folder / name))) for name in names}
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
