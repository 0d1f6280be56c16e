"""What runs in a container: one job, from standard input to standard output, as `protocol` says."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forge_gpu.container.protocol import Finished
    from forge_gpu.job.events.encode import EntryListener
    from forge_gpu.job.output.collector import Collector
    from forge_gpu.job.state.spec import JobSpec

    Looking = tuple[Collector, EntryListener]

PATIENCE = 10.0
"""Seconds that the last line waits for whoever reads: the engine may have died while the job went on."""

_received: list[int] = []


def main(looking: Callable[[JobSpec], Looking | None] = lambda spec: None) -> int:
    """Run the job; the exit code is that of the command line. looking: who looks at rows and events of it."""
    for number in (signal.SIGINT, signal.SIGTERM):  # before all that takes time to import
        signal.signal(number, lambda number, frame: _received.append(number))
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints goes to standard error, and not among the messages
    from forge_gpu._version import __version__
    from forge_gpu.container.makers import makers
    from forge_gpu.container.protocol import PROTOCOL, Failed, Hello, to_line

    _write(out, to_line(Hello(PROTOCOL, __version__, makers())))
    try:
        last = to_line(_run(sys.stdin.buffer.readline(), out, looking))
        code = 0
    except BaseException as error:
        failed = Failed.of(error)
        last, code = to_line(failed), failed.exit_code
        if code == 70:
            import traceback

            traceback.print_exc()
    _write(out, last)
    return code


def _run(line: bytes, out: int, looking: Callable[[JobSpec], Looking | None]) -> Finished:
    from forge_gpu.container.protocol import Finished
    from forge_gpu.job.events.dispatch import Dispatcher
    from forge_gpu.job.events.file import EventFile
    from forge_gpu.job.start import run
    from forge_gpu.job.state.spec import JobSpec

    spec = JobSpec.from_json(line)
    looks = looking(spec)
    collector, listeners = (None, []) if looks is None else (looks[0], [looks[1]])
    with (
        EventFile(os.dup(out), "standard output", pace=0) as file,
        Dispatcher([file, *listeners]) as dispatcher,
    ):
        result = run(spec, dispatcher, _check_stop, collector=collector)
    return Finished(result.manifest, result.was_finished)


def _check_stop() -> None:
    from forge_gpu.errors import Interrupted

    if _received:
        raise Interrupted(_received[0])


def _write(out: int, line: bytes) -> None:
    """Write a line, unless nobody takes it."""
    deadline = time.monotonic() + PATIENCE
    while line and time.monotonic() < deadline:
        if select.select([], [out], [], 1.0)[1]:
            try:
                line = line[os.write(out, line[: select.PIPE_BUF]) :]
            except OSError:
                return


if __name__ == "__main__":
    sys.exit(main())
