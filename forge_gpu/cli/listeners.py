"""Who listens to `forge prepare`: what --events, --log, --metrics and --track ask for, and the history."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from forge_gpu.cli.usage import STDOUT
from forge_gpu.plain import mutable

if TYPE_CHECKING:
    from forge_gpu.job.events.encode import EntryListener
    from forge_gpu.job.output.result import Result
    from forge_gpu.report.debug import Bundle


class Finishing(Protocol):
    def finished(self, result: Result) -> None:
        """The job is done, and this is what came out."""


@mutable
class Listeners:
    """all: those of the job. at_end: those who hear of the result as well."""

    all: list[EntryListener] = field(default_factory=list)
    at_end: list[Finishing] = field(default_factory=list)

    def finished(self, result: Result) -> None:
        for listener in self.at_end:
            listener.finished(result)


@contextmanager
def opened(
    events: str | None,
    log: str | None,
    log_level: str,
    metrics: str | None,
    track: Sequence[str],
    output: str,
    settings: Sequence[str],
    bundle: Bundle | None = None,
) -> Iterator[Listeners]:
    """The listeners that the options ask for, closed at the end. bundle: of --debug. Raises ForgeError."""
    from forge_gpu.io.secrets import command_line
    from forge_gpu.report.history import RunNote

    made = Listeners([RunNote(command_line(), output, settings)])
    if bundle is not None:
        made.all.append(bundle)
    with ExitStack() as stack:
        if events is not None:
            from forge_gpu.job.events.file import EventFile

            if events == STDOUT:
                file = EventFile(os.dup(sys.stdout.fileno()), "standard output")
            else:
                file = EventFile.open(events)
            made.all.append(stack.enter_context(file))
        if log is not None:
            from forge_gpu.report.log import JobLog

            job_log = stack.enter_context(closing(JobLog(log, log_level, command_line())))
            made.all.append(job_log)
            made.at_end.append(job_log)
        if metrics is not None:
            from forge_gpu.report.metrics import Metrics

            numbers = stack.enter_context(closing(Metrics(metrics)))
            made.all.append(numbers)
            made.at_end.append(numbers)
        for name in dict.fromkeys(track):
            from forge_gpu.share.track.registry import tracker_of
            from forge_gpu.share.track.tracking import Tracking

            tracking = stack.enter_context(closing(Tracking(name, tracker_of(name), output)))
            made.all.append(tracking)
            made.at_end.append(tracking)
        yield made
