"""The jobs below a folder, as `forge watch` shows them. Their files are anyone's: read with care."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil

from forge_gpu.fates import Fate, name
from forge_gpu.io.atomic import PARTIAL
from forge_gpu.job.output.result import PAGE, PAGE_BEGINNING, REJECTED_FORMAT
from forge_gpu.job.state.place import FOLDER, STAGING
from forge_gpu.report.live.note import FILE
from forge_gpu.report.live.state import VERSION

MOST_JOBS = 100
MOST_FOLDERS = 2000
DEEPEST = 3
"""Folders below the one that is watched."""
MOST_BYTES = 2**22
"""Of a file that is read: more is nothing that Forge has written there."""
REJECTED_SHOWN = 30
TAIL = 2**17
"""Bytes of the rejected rows that are looked at, from their end."""
LOOK_EVERY = 0.5
FIND_EVERY = 2.0
SILENT_AFTER = 15.0
"""Seconds without a word after which a job on another machine may be gone."""


class Jobs:
    """The jobs in a folder, or in those below it. Any thread may look; the files are read at most twice a
    second, however many look."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._lock = threading.Lock()
        self._looked = self._found_at = -FIND_EVERY
        self._folders: list[Path] = []
        self._jobs: dict[str, Watched] = {}

    def look(self) -> list[Watched]:
        """All jobs, those that run first, then the latest."""
        with self._lock:
            now = time.monotonic()
            if now - self._found_at >= FIND_EVERY:
                self._folders, self._found_at = list(_outputs(self.root)), now
            if now - self._looked >= LOOK_EVERY:
                self._look()
                self._looked = now
            jobs = list(self._jobs.values())
        return sorted(jobs, key=lambda job: (not job.is_running, -job.last_heard))

    def get(self, number: str) -> Watched | None:
        """A job by its id."""
        return next((job for job in self.look() if job.id == number), None)

    def _look(self) -> None:
        jobs = {}
        for folder in self._folders:
            job = self._jobs.get(id_of(folder)) or Watched(folder, self.root)
            if job.refresh():
                jobs[job.id] = job
        self._jobs = jobs


class Watched:
    """One job in its output folder. id: what it is called in addresses."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.id = folder, id_of(folder)
        self._shown = str(folder.relative_to(root)) if folder != root else folder.name
        self._seen: tuple[int, ...] = ()
        self._rejected_seen: tuple[int, ...] = ()
        self._document: dict[str, Any] = {}
        self._rejected: list[dict[str, Any]] = []

    def refresh(self) -> bool:
        """Read what has changed; whether there is a job."""
        path = self.folder / FOLDER / FILE
        seen = _look_of(path)
        if seen != self._seen:
            document = _json(path)
            if document is None:
                return bool(self._document)
            self._document, self._seen = document, seen
        self._refresh_rejected()
        return bool(self._document)

    @property
    def last_heard(self) -> float:
        """When its run was heard of last, as seconds since 1970."""
        heard = self._document.get("told")
        return float(heard) if isinstance(heard, int | float) else 0.0

    @property
    def is_running(self) -> bool:
        return self.status == "running"

    @property
    def status(self) -> str:
        """running, done, failed, stopped, killed; silent: on another machine, and not heard of for long."""
        outcome = self._document.get("outcome")
        if isinstance(outcome, dict):
            return str(outcome.get("kind"))
        if self._document.get("host") != socket.gethostname():
            return "running" if time.time() - self.last_heard < SILENT_AFTER else "silent"
        return "running" if _is_alive(self._document.get("pid"), self._document.get("began")) else "killed"

    @property
    def page(self) -> bytes | None:
        """The report that Forge has left there, if it has."""
        data = _content(self.folder / PAGE)
        return data if data is not None and data.startswith(PAGE_BEGINNING) else None

    def summary(self) -> dict[str, Any]:
        """What stands in the list of jobs."""
        goal = self._document.get("goal")
        return {"id": self.id, "folder": self._shown, "goal": goal, "status": self.status}

    def document(self) -> dict[str, Any]:
        """All that is shown of it: without texts of rows."""
        return {
            **self.summary(),
            "state": self._document,
            "rejected": self._rejected,
            "has_page": (self.folder / PAGE).is_file() and self.status == "done",
        }

    def _refresh_rejected(self) -> None:
        """The places and reasons of the rows that were rejected last."""
        stem = f"{name(Fate.REJECTED)}.{REJECTED_FORMAT}"
        for path in (self.folder / (stem + PARTIAL), self.folder / stem):
            seen = _look_of(path)
            if seen:
                if seen != self._rejected_seen:
                    self._rejected, self._rejected_seen = list(_places(path)), seen
                return


def id_of(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]


def _outputs(root: Path) -> Iterator[Path]:
    """Folders that hold a job, the one that is watched among them; none behind a link."""
    waiting = [(root, 0)]
    looked = result = 0
    while waiting and looked < MOST_FOLDERS and result < MOST_JOBS:
        folder, depth = waiting.pop(0)
        looked += 1
        if _look_of(folder / FOLDER / FILE):
            result += 1
            yield folder
        if depth < DEEPEST:
            waiting += [(below, depth + 1) for below in _folders_in(folder)]


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:
        return []
    return [folder / of for of in names if not of.startswith(".") or of == STAGING]


def _look_of(path: Path) -> tuple[int, ...]:
    """What tells a regular file from a later one of that name; nothing where there is none."""
    try:
        result = os.lstat(path)
    except OSError:
        return ()
    return (result.st_ino, result.st_mtime_ns, result.st_size) if stat.S_ISREG(result.st_mode) else ()


def _content(path: Path, last: int | None = None) -> bytes | None:
    """A regular file, behind no link; None for what is none, or too large. last: bytes from its end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            result = os.fstat(descriptor)
            if not stat.S_ISREG(result.st_mode) or (last is None and result.st_size > MOST_BYTES):
                return None
            if last is not None:
                file.seek(max(result.st_size - last, 0))
            return file.read(MOST_BYTES)
    except OSError:
        return None


def _json(path: Path) -> dict[str, Any] | None:
    try:
        document = orjson.loads(_content(path) or b"")
    except ValueError:
        return None
    is_ours = isinstance(document, dict) and document.get("version") == VERSION
    return document if is_ours else None


def _places(path: Path) -> Iterator[dict[str, Any]]:
    """Where the last rejected rows came from, and why they are rejected; of a long row its line is enough."""
    for line in (_content(path, TAIL) or b"").split(b"\n")[-REJECTED_SHOWN - 1 :]:
        try:
            record = orjson.loads(line)
            yield {key: record.get(key) for key in ("file", "row", "line", "reason")}
        except (ValueError, AttributeError):
            continue  # the line in hand, or the rest of one that is too long


def _is_alive(pid: object, began: object) -> bool:
    """Whether the process that began a run still runs: one that is younger has only its number."""
    if not isinstance(pid, int) or not isinstance(began, int | float):
        return False
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() <= began + 2 and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError, OverflowError):
        return False
