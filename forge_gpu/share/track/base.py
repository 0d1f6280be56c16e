"""What a tracker is: the one protocol between a job and where its run is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from forge_gpu.plain import frozen


@frozen
class Began:
    """name: of the output. run: the id of this call of prepare. parameters: the plan, dotted keys, without
    what is secret; null is left out."""

    name: str
    run: str
    parameters: Mapping[str, str | int | float | bool]


@frozen
class Histogram:
    """rows[i] have a value from edges[i] to below edges[i + 1]."""

    edges: Sequence[int]
    rows: Sequence[int]


@frozen
class DataSet:
    """digest: SHA-256 over the names and hashes of its files, so that equal data has an equal one. place:
    where it is. files: name, split, rows, bytes and SHA-256 of each. inputs: path, rows and bytes of what it
    was made of. columns: names and types."""

    name: str
    digest: str
    place: str
    files: Sequence[Mapping[str, Any]]
    inputs: Sequence[Mapping[str, Any]]
    columns: Mapping[str, str]


@frozen
class Outcome:
    """metrics: counts and sizes by name. histograms: by name. texts: artifacts by their file names. files:
    more of them, which lie on this machine."""

    metrics: Mapping[str, float]
    histograms: Mapping[str, Histogram]
    data: DataSet
    texts: Mapping[str, str]
    files: Sequence[Path]


class Tracker(Protocol):
    """A tracker. The module of its name in this folder has one as TRACKER; `registry.NAMES` has its name.

    Its methods are called in this order, from one thread that the job does not wait for, and may raise
    anything: then no more are called, and the command warns. `begin` imports the library.
    """

    package: str
    """That it needs, as it is imported."""

    def begin(self, began: Began) -> None:
        """The job runs."""

    def finish(self, outcome: Outcome) -> str | None:
        """The job is done. Gives a line that says where to look, if there is one."""

    def fail(self, error: str, was_stopped: bool) -> None:
        """The job ended before it was done; error: one line, without the text of a row."""
