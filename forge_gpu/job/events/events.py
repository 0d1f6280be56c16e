"""The one event stream of a job. Progress, logs, the manifest and metrics read it, and nothing else.

Each kind is a dataclass; its name is its tag. They are documented in docs/events.md. No event holds the text
of a row. One that changes gets another SCHEMA.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from forge_gpu.plain import frozen

SCHEMA = 2
"""The version of what events say: `v` of each line."""


@frozen
class Event:
    """Something that happened; `stage` is the stage it happened in."""

    stage: str


@frozen
class JobStarted(Event):
    """The inputs are resolved and the checkpoint is open: it is known which job this is."""

    job: str  # digest of what the output depends on: of this event and of all after it
    spec: dict[str, Any]  # without what is secret in URLs
    engine: str | None
    engine_reason: str | None
    memory_budget: int  # bytes
    threads: int
    resumed: bool  # whether an earlier run left something to go on from
    versions: dict[str, str]


@frozen
class StageStarted(Event):
    """A stage begins. A total is None where it is not known."""

    total_bytes: int | None = None
    total_rows: int | None = None
    done_bytes: int = 0  # of the total: what an earlier run has done


@frozen
class ChunkDone(Event):
    """A chunk went through its stage. It may be left out for a listener that is slow: what came before it in
    the stage is in the totals, which the dispatcher fills in."""

    rows: int
    bytes: int  # of input
    seconds: float
    peak_memory: int  # bytes, of the process, so far
    fates: dict[str, int] | None = None  # rows by fate, where the stage knows them
    reasons: dict[str, int] | None = None  # rejected rows by reason, likewise
    rows_so_far: int = 0  # of this run, in the stage
    bytes_so_far: int = 0
    fates_so_far: dict[str, int] | None = None
    reasons_so_far: dict[str, int] | None = None


@frozen
class Progressed(Event):
    """How far a stage is that is not counted in rows. It may be left out, as ChunkDone may."""

    what: str  # it is at, within the stage
    done: int
    total: int  # of what `done` counts: rows, steps, or bytes of the inputs as they lie


@frozen
class StageDone(Event):
    """A stage ended: rows and seconds of this run."""

    rows: int
    seconds: float


@frozen
class Sampled(Event):
    """What the process holds, once a second."""

    memory: int  # bytes, resident
    vram: int | None  # bytes in use on the job's GPUs, of all processes; None without one
    gpu_use: float | None  # share of the last moments in which the job's GPUs worked, 0 to 1
    queue: int  # events that wait for the slowest listener


@frozen
class Warned(Event):
    """Something that the user should know, in one line; the job goes on."""

    message: str


@frozen
class Retried(Event):
    """A read or write failed and is tried again. attempt: counted from 1."""

    what: str
    attempt: int
    error: str


@frozen
class Halved(Event):
    """A chunk did not fit into the memory of the GPU: it is done in two halves."""

    rows: int  # of the chunk that did not fit


@frozen
class FellBack(Event):
    """The engine failed and the job goes on with the CPU engine."""

    reason: str


@frozen
class JobEnded(Event):
    """The job is done. was_finished: an earlier run had done it, and nothing changed since."""

    counts: dict[str, int]  # rows by fate
    seconds: float
    was_finished: bool


@frozen
class JobFailed(Event):
    """The job ended before it was done; `stage` is where."""

    error: str  # one line, without what it quotes of a row
    exit_code: int  # of the command line


Listener = Callable[[Event], None]
