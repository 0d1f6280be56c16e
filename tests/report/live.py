"""Jobs that run in a process of their own and go only as far as a test lets them; a server that watches."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from forge_gpu.config.schema import Config
from forge_gpu.report.live.jobs import Jobs
from forge_gpu.report.live.server import Watch
from tests.job import jobs

FILES = 12
ONE_BY_ONE = {"streaming_threshold_gb": 0, "memory": {"threads": 1, "budget": 2**24}}
SCRIPT = """
import sys, time
from pathlib import Path
import forge_gpu
from forge_gpu.config.schema import Config

folder = Path(sys.argv[1])
config = Config.model_validate_json((folder / "plan.json").read_text())
asked = -len(config.data.inputs)  # each is opened without being held

def check():
    global asked
    asked += 1
    while asked > int((folder / "allowed").read_text() or 0):
        time.sleep(0.02)

forge_gpu.prepare(config, output=folder / "prepared", check_stop=check)
"""


class Held:
    """A job that asks before each step whether it may."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        (folder / "plan.json").write_text(json.dumps(config.model_dump(mode="json")))
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def over_files(cls, folder: Path) -> Held:
        """One over FILES files, each a range."""
        folder.mkdir()
        sources = []
        for number in range(FILES):
            rows = jobs.rows(150, number)
            rows[7] = {"instruction": "without an answer"}
            sources.append(jobs.write_lines(folder / f"{number:02}.jsonl", rows))
        return cls(folder, jobs.plan(*sources, preprocessing=ONE_BY_ONE))

    def allow(self, steps: int) -> None:
        partial = self.folder / "allowed.partial"
        partial.write_text(str(steps))
        partial.replace(self.folder / "allowed")

    def start(self, steps: int) -> None:
        self.allow(steps)
        self._process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(self.folder)])

    @property
    def has_written(self) -> bool:
        """Whether its checkpoint says so."""
        state = json.loads((self.folder / "prepared/.forge/job.json").read_bytes())
        return bool(state["written_blocks"])

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def wait(self) -> None:
        assert self._process is not None and self._process.wait(60) == 0


@contextmanager
def watching(folder: Path, port: int = 0) -> Iterator[Watch]:
    """A live page of a folder, served by a thread."""
    server = Watch(Jobs(folder), ("127.0.0.1", port))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server._server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)


def memory() -> int:
    return int(psutil.Process().memory_info().rss)
