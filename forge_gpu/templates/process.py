"""Chat templates rendered in another process, which Forge ends where it takes longer or more than its bounds.

Whatever a template does there, even one operation that no one can interrupt, ends within its bounds. A thread
has one such process, started when a template first needs it; it serves all templates of the thread.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from forge_gpu.errors import TemplateError
from forge_gpu.templates.bounds import Bounds, more_memory, more_time
from forge_gpu.templates.process_main import HEAD, pack, unpack
from forge_gpu.templates.rendering import CharacterSpan, Refused
from forge_gpu.templates.turns.written import Written

START_SECONDS = 60.0
PATIENCE = 1.2
"""Times the bound in seconds, after which the process is ended: mostly it notices the bound itself."""

READ_BYTES = 2**20
_numbers = itertools.count()
_of_thread = threading.local()


class _Ended(Exception):
    """The process has ended, or was ended since its time was up."""


class Outside:
    """One template there. Its methods are those of Rendering."""

    def __init__(self, source: str, date: str | None, bounds: Bounds) -> None:
        self._number = next(_numbers)
        self._source, self._date, self._bounds = source, date, bounds

    def takes(self, variables: Mapping[str, Any]) -> bool:
        """Whether variables, beside messages and tools, are what the process can be given."""
        return all(map(_is_json, variables.values()))

    def compile(self) -> None:
        """Parse and compile the source. Raises TemplateError."""
        self._ask("compile", {})

    def render(self, variables: Mapping[str, Any]) -> str:
        return self._ask("render", variables)  # type: ignore[no-any-return]

    def render_spans(self, variables: Mapping[str, Any]) -> tuple[str, list[CharacterSpan]]:
        text, spans = self._ask("spans", variables)
        return text, [(start, end) for start, end in spans]

    def written(self, variables: Mapping[str, Any]) -> Written:
        text, turns = self._ask("written", variables)
        return Written(text, tuple((place, number) for place, number in turns))

    def _ask(self, action: str, variables: Mapping[str, Any]) -> Any:
        process = _process()
        request = {"action": action, "template": self._number, "variables": _plain(variables)}
        request |= {"bounds": asdict(self._bounds)}
        if self._number not in process.known:
            request |= {"source": self._source, "date": self._date}
            process.known.add(self._number)
        try:
            answer = process.ask(pack(request), self._bounds.seconds * PATIENCE)
        except (_Ended, TimeoutError):
            raise TemplateError(self._bound_met(process)) from None
        match answer:
            case {"refused": message}:
                raise Refused(message)
            case {"fault": message}:
                process.known.discard(self._number)
                raise TemplateError(message)
            case {"memory": _}:
                process.end()
                raise TemplateError(more_memory(self._bounds))
        return answer

    def _bound_met(self, process: _Process) -> str:
        """Which bound a process has met that has ended or was ended. Little memory ends it in many ways."""
        in_time = process.status not in (-signal.SIGXCPU, None)
        return more_memory(self._bounds) if in_time else more_time(self._bounds)


class _Process:
    """The process, for one thread."""

    def __init__(self) -> None:
        command = (
            f"import sys; sys.path[:] = {json.dumps(sys.path)}; "
            "from forge_gpu.templates.process_main import main; main()"
        )
        self.known: set[int] = set()
        self.status: int | None = None  # how it ended by itself
        self._child = subprocess.Popen(
            [sys.executable, "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for Forge, which ends it
        )
        self._owner = os.getpid()
        self._begun()

    def _begun(self) -> None:
        """Wait for its first word. Raises TemplateError."""
        try:
            self._answer(time.monotonic() + START_SECONDS)
        except (_Ended, TimeoutError):
            status = self._child.poll()
            self.end()
            raise TemplateError(
                "the process that renders chat templates does not start: "
                f"{sys.executable} ends with status {status}"
            ) from None

    @property
    def runs(self) -> bool:
        return self._owner == os.getpid() and self._child.poll() is None

    def ask(self, request: bytes, seconds: float) -> Any:
        """The answer to a request. Raises _Ended, TimeoutError; the process has ended then."""
        try:
            deadline = time.monotonic() + seconds
            self._send(request, deadline)
            return self._answer(deadline)
        except BaseException:
            self.end()
            raise

    def _answer(self, deadline: float) -> Any:
        size = int.from_bytes(self._receive(HEAD, deadline), "big")
        return unpack(self._receive(size, deadline))

    def _send(self, request: bytes, deadline: float) -> None:
        """Requests can be larger than a pipe, and a child that does not read them must not stop Forge."""
        assert self._child.stdin is not None
        place, view = self._child.stdin.fileno(), memoryview(request)
        os.set_blocking(place, False)
        while view:
            self._wait(place, select.POLLOUT, deadline)
            try:
                view = view[os.write(place, view) :]
            except BlockingIOError:
                continue
            except OSError:
                self.status = self._child.wait(5)
                raise _Ended from None

    def _receive(self, size: int, deadline: float) -> bytes:
        assert self._child.stdout is not None
        place, pieces = self._child.stdout.fileno(), bytearray()
        while len(pieces) < size:
            self._wait(place, select.POLLIN, deadline)
            piece = os.read(place, min(READ_BYTES, size - len(pieces)))
            if not piece:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.status = self._child.wait(5)
                raise _Ended
            pieces += piece
        return bytes(pieces)

    def _wait(self, place: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(place, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError

    def end(self) -> None:
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def __del__(self) -> None:
        if self._owner == os.getpid() and self._child.returncode is None:
            self.end()


def _process() -> _Process:
    """That of this thread, started where there is none."""
    process: _Process | None = getattr(_of_thread, "process", None)
    if process is None or not process.runs:
        process = _of_thread.process = _Process()
    return process


def _plain(variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """The variables, all of them JSON. Raises TemplateError."""
    for name, value in variables.items():
        if name != "messages" and not _is_json(value):
            raise TemplateError(f"model.template_kwargs: {name} must be made of JSON values")
    return variables


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | int | float)
