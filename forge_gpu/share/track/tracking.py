"""A job's listener that hands a tracker what it needs, and never holds the job up."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

from forge_gpu.io.secrets import public
from forge_gpu.job.events.dispatch import public_text
from forge_gpu.job.events.encode import Entry
from forge_gpu.job.events.events import JobFailed, JobStarted
from forge_gpu.job.output.result import Result
from forge_gpu.share.track.base import Began, Tracker
from forge_gpu.share.track.facts import name_of, outcome_of, parameters_of

PATIENCE = 60.0
"""Seconds that a job that is done waits for a tracker."""
STOPPED = (130, 143)


class Tracking:
    """A tracker's own thread, and what is still to be told to it.

    What goes wrong there is a warning when the job has ended, and the job's end is the same.
    """

    def __init__(self, kind: str, tracker: Tracker, output: str) -> None:
        self.name = f"the tracker {kind}"
        self._kind, self._tracker, self._output = kind, tracker, output
        self._config: dict[str, Any] = {}
        self._fault: str | None = None
        self._place: str | None = None
        self._has_begun = False
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"forge-track-{kind}", daemon=True)
        self._thread.start()

    def __call__(self, entry: Entry) -> None:
        event = entry.event
        if isinstance(event, JobStarted):
            self._config = event.spec["config"]
            began = Began(name_of(self._output), entry.run, parameters_of(self._config))
            self._has_begun = True
            self._calls.put(lambda: self._tracker.begin(began))
        elif isinstance(event, JobFailed) and self._has_begun:
            error, was_stopped = public(event.error), event.exit_code in STOPPED
            self._calls.put(lambda: self._tracker.fail(error, was_stopped))

    def finished(self, result: Result) -> None:
        """The job is done, and this is what came out."""

        def finish() -> None:
            self._place = self._tracker.finish(outcome_of(result, self._config))

        self._calls.put(finish)

    def close(self) -> None:
        """Wait until the tracker has everything, but not for ever; say on stderr what became of it."""
        self._calls.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._fault = f"it did not answer for {PATIENCE:.0f} s"
        if self._fault is not None:
            print(f"warning: --track {self._kind}: {self._fault}; the output is whole", file=sys.stderr)
        elif self._place is not None:
            print(f"tracked by {self._kind}: {self._place}", file=sys.stderr)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            if self._fault is None:
                try:
                    call()
                except BaseException as fault:  # a tracker's library may end in any way
                    self._fault = _explain(fault)


def _explain(fault: BaseException) -> str:
    """A tracker's error: it was told no text of a row, so that its own words may be shown."""
    first = " ".join(str(fault).split("\n")[0].split())
    return public(f"{type(fault).__name__}: {first[:300]}" if first else public_text(fault))
