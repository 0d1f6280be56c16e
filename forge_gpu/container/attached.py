"""One container from its start to its end, with its messages and signals passed on."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

from forge_gpu.container.engines import ContainerEngine, State
from forge_gpu.container.protocol import Failed, Finished, Hello, Message, read_line
from forge_gpu.errors import ContainerError, Interrupted
from forge_gpu.job.events.encode import Entry
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.plain import frozen

POLL = 0.2
"""Seconds between two looks at whether to stop."""
LONGEST_LINE = 2**26
TAIL = 40
"""Lines of standard error that are retained."""


@frozen
class Ending:
    """How a container ended. code: of the engine's command line. last: its last message, None where it had
    none. state: what the engine says of it, None where it does not answer. said_hello: whether the job began.
    errors: the end of its standard error."""

    code: int
    last: Finished | Failed | None
    state: State | None
    said_hello: bool
    errors: str


class Attached:
    """A container that was created, and is now run. image: its name, for messages. spec: the job that it
    gets; on_event hears its events; has_input: whether standard input is passed on."""

    def __init__(
        self,
        engine: ContainerEngine,
        name: str,
        image: str,
        spec: JobSpec,
        on_event: Callable[[Entry], None],
        has_input: bool = False,
    ) -> None:
        self._engine, self._name, self._image, self._spec = engine, name, image, spec
        self._on_event, self._has_input = on_event, has_input
        self._messages: queue.Queue[Message | None] = queue.Queue(maxsize=1024)
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._strays: deque[str] = deque(maxlen=TAIL)  # of its output, what is no message
        self._said_hello = False
        self._last: Finished | Failed | None = None

    def run(self, check_stop: Callable[[], None]) -> Ending:
        """Start it and wait for its end. What check_stop raises is raised when the job has stopped; the
        signal of an Interrupted is passed on, and a second one kills the container.
        """
        child = subprocess.Popen(
            self._engine.command("start", "--attach", "--interactive", self._name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C comes to us alone
        )
        assert child.stdin and child.stdout and child.stderr
        readers = [
            threading.Thread(target=self._read, args=(child.stdout,), daemon=True),
            threading.Thread(target=self._drain, args=(child.stderr,), daemon=True),
        ]
        for reader in readers:
            reader.start()
        try:
            self._take_all(child.stdin, check_stop)
            code = child.wait()
        except BaseException:
            self._engine.signal(self._name, "KILL")
            child.kill()
            child.wait()
            raise
        finally:
            for reader in readers:
                reader.join(POLL)
        state = self._state()
        return Ending(code, self._last, state, self._said_hello, "\n".join([*self._strays, *self._tail]))

    def _take_all(self, stdin: IO[bytes], check_stop: Callable[[], None]) -> None:
        """Messages until the stream ends. Raises what check_stop raised, once the job has ended."""
        stopped: BaseException | None = None
        while True:
            try:
                message = self._messages.get(timeout=POLL)
            except queue.Empty:
                pass
            else:
                if message is None:
                    break
                self._take(message, stdin)
            if stopped is None:
                try:
                    check_stop()
                except Exception as reason:
                    stopped = reason
                    number = reason.exit_code - 128 if isinstance(reason, Interrupted) else signal.SIGTERM
                    self._engine.signal(self._name, signal.Signals(number).name)
        if stopped is not None and not isinstance(self._last, Finished):
            raise stopped

    def _take(self, message: Message, stdin: IO[bytes]) -> None:
        match message:
            case Hello():
                message.require_ours(self._image, self._spec.config)
                self._said_hello = True
                threading.Thread(target=self._feed, args=(stdin,), daemon=True).start()
            case Finished() | Failed():
                self._last = message
            case Entry():
                self._on_event(message)

    def _feed(self, stdin: IO[bytes]) -> None:
        """The job, and behind it what comes on our own standard input, if the job reads that."""
        with contextlib.suppress(OSError), stdin:
            stdin.write(self._spec.to_json().encode() + b"\n")
            stdin.flush()
            while self._has_input and (data := os.read(sys.stdin.fileno(), 2**16)):
                stdin.write(data)
                stdin.flush()

    def _read(self, stdout: IO[bytes]) -> None:
        while line := stdout.readline(LONGEST_LINE):
            try:
                message = read_line(line)
            except ValueError:
                self._strays.append("no message: " + line[:200].decode(errors="replace").rstrip())
                continue
            if message is not None:
                self._messages.put(message)
        self._messages.put(None)

    def _drain(self, stderr: IO[bytes]) -> None:
        while line := stderr.readline(2**16):
            self._tail.append(line.decode(errors="replace").rstrip()[:2000])

    def _state(self) -> State | None:
        try:
            return self._engine.state(self._name)
        except ContainerError:
            return None
