"""The sandboxed process of one script, seen from outside: started, asked, bounded, ended."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from forge_gpu.plain import frozen
from forge_gpu.sandbox.contract import Script, contract
from forge_gpu.sandbox.inside.frames import BY_BATCH, BY_ROW, DONE, FAULT, HEAD, ROWS, START, frame
from forge_gpu.sandbox.layers import Layers, SandboxError, bubblewrap_command, python, read_layers

MAX_ANSWER = 256 * 2**20
"""Bytes of one answer: what a script may make of one frame."""

FRAMES = 2048
"""Answers of one process, after which a new one goes on: what a script keeps between rows has an end."""

START_SECONDS = 60
END_SECONDS = 5
PIPE_BYTES = 2**20
F_SETPIPE_SZ = 1031
LAST_WORDS = 300
FORGED = "it wrote to the pipe of its answers"


@frozen
class Bounds:
    """seconds: for one answer, and for the script's own top level. memory: bytes of address space."""

    seconds: float = 10.0
    memory: int = 2**30
    answer: int = MAX_ANSWER


class Sandbox:
    """A context manager; `ask` may be called in it, by one thread at a time.

    The process ends with the block, and with Forge. Raises SandboxError, in one line, where the script cannot
    be loaded, ends its process, takes longer or more than its bounds, or does not keep to the frames; the
    process has ended then.
    """

    def __init__(
        self,
        script: Script,
        bounds: Bounds | None = None,
        layers: Layers | None = None,
        by_row: bool = False,
    ) -> None:
        """by_row: rows go one by one to a script that has a function for batches as well."""
        self._script, self._loaded, self._by_row = script, script.loaded, by_row
        self._bounds = bounds or Bounds()
        self.layers = layers or read_layers()
        self._child: subprocess.Popen[bytes] | None = None
        self._number = 0
        self.takes_batches = False

    def __enter__(self) -> Self:
        self.layers.require()
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if fault is None and self._child is not None:
                self._expect_nothing_more()
        finally:
            self._end()

    @property
    def path(self) -> str:
        """Of the script."""
        return self._script.path

    @property
    def process(self) -> int | None:
        """The id of the process (with bubblewrap, of what started it)."""
        return None if self._child is None else self._child.pid

    def ask(self, rows: int, body: bytes, word: int = ROWS) -> memoryview:
        """The body of the answer to a frame of rows, or of a BATCH."""
        self._expect_silence()
        if self._number >= FRAMES:
            self._end()
            self._start()
        return self._exchange(rows, word, body, self._bounds.seconds)

    def _start(self) -> None:
        self._number = 0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        self._child = _start_process(
            self._command(),
            self._log,
        )
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            _enlarge(pipe.fileno())
        self._exchange(0, START, json.dumps(self._given()).encode(), START_SECONDS)
        takes = bytes(self._read_answer(lambda: None, 0, self._bounds.seconds))  # the script is loaded
        if takes not in (BY_ROW, BY_BATCH):
            raise self._fault(FORGED)
        self.takes_batches = takes == BY_BATCH

    def _command(self) -> list[str]:
        root = str(Path(__file__).parents[2])
        code = (
            "import sys; sys.path.append(sys.argv[1]); from forge_gpu.sandbox.inside.main import main; main()"
        )
        around = (
            []
            if self.layers.bubblewrap is None
            else [
                *bubblewrap_command(self.layers.bubblewrap, self._loaded.packages),
                "--",
            ]
        )
        return [*around, python(), "-s", "-S", "-P", "-B", "-X", "utf8", "-c", code, root]

    def _given(self) -> dict[str, object]:
        return {
            "memory": self._bounds.memory,
            "seconds": int(START_SECONDS + self._bounds.seconds * FRAMES),
            **asdict(self._loaded),
            "environment": contract()["batches"]["environment"] if self._loaded.packages else {},
            "landlock": self.layers.landlock,
            "filter": self.layers.filter,
            "script": self._script.text,
            "by_row": self._by_row,
        }

    def _end(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout, self._log):
            assert pipe is not None
            pipe.close()
        self._child = None

    def _exchange(self, rows: int, word: int, body: bytes, seconds: float) -> memoryview:
        left = memoryview(frame(self._number, rows, word, body))

        def send() -> int | None:
            """Write what the pipe takes; the descriptor while there is more."""
            nonlocal left
            assert self._child is not None and self._child.stdin is not None
            number = self._child.stdin.fileno()
            try:
                while left:
                    left = left[os.write(number, left[:PIPE_BYTES]) :]
            except BlockingIOError:
                return number
            except BrokenPipeError:
                left = left[len(left) :]
            return None

        return self._read_answer(send, rows, seconds)

    def _read_answer(self, send: Callable[[], int | None], rows: int, seconds: float) -> memoryview:
        """Send and read at once, so that neither side waits for the other."""
        assert self._child is not None and self._child.stdout is not None
        try:
            return self._bounded(self._child.stdout.fileno(), send, rows, time.monotonic() + seconds, seconds)
        except BaseException:
            self._end()
            raise

    def _bounded(
        self, source: int, send: Callable[[], int | None], rows: int, end: float, seconds: float
    ) -> memoryview:
        answer, size = bytearray(), HEAD.size
        while len(answer) < size:
            writable = send()
            poll = select.poll()
            poll.register(source, select.POLLIN)
            if writable is not None:
                poll.register(writable, select.POLLOUT)
            left = end - time.monotonic()
            if left <= 0:
                raise self._fault(
                    f"no answer within {seconds:g} s; raise data.transform.seconds or look for a loop"
                )
            if not any(number == source for number, _ in poll.poll(1000 * left)):
                continue
            piece = os.read(source, min(size - len(answer), PIPE_BYTES))
            if not piece:
                raise self._fault(self._last_words())
            answer += piece
            if len(answer) == HEAD.size == size:
                size += self._checked(HEAD.unpack(answer), rows)
        number, _, word, _ = HEAD.unpack_from(answer)
        if word == FAULT:
            text = bytes(answer[HEAD.size :]).decode("utf-8", "replace")
            raise self._fault(" ".join("".join(c if c.isprintable() else " " for c in text).split()))
        self._number = number + 1
        return memoryview(answer)[HEAD.size :]

    def _expect_silence(self) -> None:
        """Between two frames there is nothing to read."""
        if self._child is None or self._child.stdout is None:
            raise self._fault("its process has ended")
        poll = select.poll()
        poll.register(self._child.stdout.fileno(), select.POLLIN)
        if poll.poll(0):
            fault = self._fault(FORGED if os.read(self._child.stdout.fileno(), 1) else self._last_words())
            self._end()
            raise fault

    def _expect_nothing_more(self) -> None:
        """Hang up: the process ends then, and says nothing before it does."""
        assert self._child is not None and self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.close()
        poll = select.poll()
        poll.register(self._child.stdout.fileno(), select.POLLIN)
        if poll.poll(1000 * END_SECONDS) and os.read(self._child.stdout.fileno(), 1):
            raise self._fault(FORGED)

    def _checked(self, head: tuple[int, ...], rows: int) -> int:
        """The size that a head names, of the answer that is expected."""
        number, answered, word, size = head
        if word not in (DONE, FAULT) or number != self._number or (word == DONE and answered != rows):
            raise self._fault(FORGED)
        most = self._bounds.answer if word == DONE else 4096
        if size > most:
            raise self._fault(f"an answer of {size:,} bytes; at most {most:,} are taken for {rows} rows")
        return size

    def _last_words(self) -> str:
        assert self._child is not None
        try:
            code = self._child.wait(5)
        except subprocess.TimeoutExpired:
            code = None
        how = "it closed the pipe of its answers" if code is None else f"its process ended ({code})"
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - LAST_WORDS))
        text = self._log.read().decode("utf-8", "replace")
        words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return f"{how}: {words}" if words else how

    def _fault(self, what: str) -> SandboxError:
        return SandboxError(f"{self._script.path}: {what}")


@cache
def _starter() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "forge-sandbox")


def _start_process(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start it from a thread that lives as long as Forge: the kernel ends it together with its thread."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={"LANG": "C.UTF-8", "PYTHONHASHSEED": "0"},
            cwd="/",
            bufsize=0,
            start_new_session=True,  # Ctrl-C is Forge's to answer
        )

    return _starter().submit(start).result()


def _enlarge(pipe: int) -> None:
    """Fewer turns for large frames; a system that forbids it goes on with what it has."""
    import fcntl

    try:
        fcntl.fcntl(pipe, F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass
