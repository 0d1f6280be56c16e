"""What a caller gives a job to read: paths, or a frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from forge_gpu.frames.any_frames import STREAM
from forge_gpu.frames.base import FRAME, library_of

LIBRARIES = ("pandas", "polars", "pyarrow", "datasets", "cudf", "dask", "dask_cudf")


def is_frame(data: Any) -> bool:
    """Whether it is a frame, and no path or list of paths."""
    if isinstance(data, list):
        return bool(data) and isinstance(data[0], dict)
    return library_of(data) in LIBRARIES or hasattr(data, STREAM)


@contextmanager
def paths_of(data: Any, name: str = FRAME) -> Iterator[tuple[Any, Path | None]]:
    """Data as paths, and the folder they start from: those given and None, or the file that a frame is
    written to for as long as this is open."""
    if not is_frame(data):
        yield data, None
        return
    from forge_gpu.frames.choose import open_frames
    from forge_gpu.frames.files import write_lines

    with TemporaryDirectory(prefix="forge-frame-") as folder:
        with open_frames("auto", None, None) as engine:
            write_lines(engine.passes, engine.passes.frames.opened(data), Path(folder) / name)
        yield [name], Path(folder)
