"""What helps to find a fault, in one private file: without rows, and without what is secret."""

from __future__ import annotations

import io
import os
import platform
import re
import sys
import traceback
import zipfile
from collections import deque
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import orjson

from forge_gpu._version import __version__
from forge_gpu.errors import OutputError
from forge_gpu.io.atomic import replacing
from forge_gpu.io.secrets import public, public_within
from forge_gpu.job.events.dispatch import public_text
from forge_gpu.job.events.encode import Entry, to_line
from forge_gpu.job.output.result import MANIFEST

BUNDLE = "forge-debug.zip"
MARK = b"made by forge --debug"
"""The comment of the file, by which it is known as ours."""
FIRST, LAST = 500, 5000
"""Events of a run that are in it, from its begin and from its end."""
VARIABLES = ("FORGE_", "NUMBA_", "CUDA_", "OMP_", "DASK_", "ARROW_", "XDG_")
ABOUT = """What forge --debug has left, for whoever looks for a fault.

No rows are in it, and none of what is secret in URLs, settings and the environment. Look at it before you
share it: names of files, folders and columns are in it.
"""


class Bundle:
    """Gathers as a command runs, and is written at its end. A listener: of a job it takes the events.

    plan: the file of the plan. output: the folder of the job; None where there is none.
    """

    name = "the debug bundle"

    def __init__(self, command: Sequence[str]) -> None:
        self.plan = Path("forge.yaml")
        self.output: Path | None = None
        self._command = list(command)
        self._first: list[bytes] = []
        self._last: deque[bytes] = deque(maxlen=LAST)

    def __call__(self, entry: Entry) -> None:
        line = to_line(entry)
        (self._first if len(self._first) < FIRST else self._last).append(line)

    def write(self, folder: Path, exit_code: int, error: BaseException | None) -> Path:
        """Leave the file in a folder. Raises OutputError, also where something else has its name."""
        path = folder / BUNDLE
        require_own(path)
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
            file.comment = MARK
            for name, content in self._members(exit_code, error).items():
                file.writestr(name, content)
        with replacing(path) as partial:
            partial.chmod(0o600)
            partial.write_bytes(data.getvalue())
        return path

    def _members(self, exit_code: int, error: BaseException | None) -> dict[str, str]:
        from forge_gpu.report.doctor import sections

        lines = [f"{title}\n" + "".join(f"  {line}\n" for line in of) for title, of in sections()]
        made = {
            "about.txt": ABOUT,
            "command.json": _json({"command": self._command, "exit_code": exit_code, "forge": __version__}),
            "versions.json": _json(versions()),
            "doctor.txt": public("".join(lines)),
        }
        if error is not None:
            made["error.txt"] = _trace(error)
        events = b"".join([*self._first, *self._last])
        if events:
            made["events.jsonl"] = "".join(_public_line(line) for line in events.splitlines())
        if (plan := _text(self.plan)) is not None:
            made["plan.yaml"] = public(plan)
        if self.output is not None and (manifest := _text(self.output / MANIFEST)) is not None:
            made["manifest.json"] = _public_line(manifest.encode())
        return made


def versions() -> dict[str, object]:
    """Of Python, the system and all distributions that Forge may use; variables that change what they do."""
    result: dict[str, str] = {}
    for requirement in sorted(metadata.requires("forge-gpu") or ()):
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            result[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            result[name] = "not installed"
    variables = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    return {
        "python": sys.version,
        "system": platform.platform(),
        "packages": result,
        "variables": public_within(variables),
    }


def require_own(path: Path) -> None:
    """Raise OutputError where something that Forge did not write has the name."""
    if not os.path.lexists(path):
        return
    try:
        with zipfile.ZipFile(path) as file:
            is_ours = file.comment == MARK
    except (OSError, zipfile.BadZipFile):
        is_ours = False
    if not is_ours or path.is_symlink():
        raise OutputError(f"{path}: already exists, and Forge did not write it; move it away")


def _trace(error: BaseException) -> str:
    """Where an error came from: places and lines of code, and no values; what caused it before."""
    lines: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        frames = traceback.format_list(traceback.extract_tb(seen.__traceback__))
        lines = [*frames, f"{type(seen).__name__}: {public(public_text(seen))}\n\n", *lines]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "".join(lines)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


def _public_line(line: bytes) -> str:
    try:
        return _json(public_within(orjson.loads(line)))
    except ValueError:
        return ""


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE).decode()
