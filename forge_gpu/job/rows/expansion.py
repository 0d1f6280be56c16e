"""Which final rows a source row becomes: how an expansion is declared, and how those of a plan are run.

They run after the records are read and before anything is judged, each on what the one before it made. The
final rows of a source row are its parts, numbered from 0. Every part has a fate of its own; a source row that
has none is one row still, which nothing is rendered of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.errors import ValidationError
from forge_gpu.fates import Fate
from forge_gpu.io.sinks.base import Sink
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, U8, Records, Spans
from forge_gpu.plain import frozen
from forge_gpu.templates.renderer import own

I32 = npt.NDArray[np.int32]

NONE = -1
"""The number of a row that was rejected before it had parts; below it, NOTHING_LEFT less the place of the
expansion that left nothing of the row."""
NOTHING_LEFT = -2

PLACE = own("place")
"""A column that expansions may take: the folder that a record's file lies in, absolute; empty without one."""

DETAIL = own("detail")
"""A column that an expansion may make: one line about why a part is rejected."""

PASSED_OVER = np.uint8(255)
"""In the place of a reason, while rows are bound: nothing is rendered of it, and yet it is not rejected."""


@frozen
class Expanded:
    """What an expansion makes of n rows: m parts.

    source: int64[m], ascending: the row that each is made of; one that is not named has no parts. columns:
    those that are others than the source row's, Spans[m]. reason: uint8[m] of Reason, 0 where a part is not
    rejected; None where none is.
    """

    source: I64
    columns: Mapping[str, Spans]
    reason: U8 | None = None


Expand = Callable[[Config, Engine, Records], Expanded]


class Held(Protocol):
    """What an expansion holds open while a job runs, as a process or a model; threads share it.

    key: a digest of all that the rows depend on beside the plan and the input.
    """

    @property
    def key(self) -> str: ...

    def expand(self, config: Config, engine: Engine, records: Records) -> Expanded: ...

    def room(self, input_bytes: int) -> int:
        """Bytes that it may still take on the disk for so much input."""
        ...

    def made(self) -> int:
        """Bytes of the rows that it made so far, and left on the disk."""
        ...

    def section(self) -> dict[str, Any]:
        """What the manifest says of it, under the expansion's name."""
        ...

    def written(self, records: Records, rows: I64) -> None:
        """Some of the records that it made are about to be written: do what they need beside them."""
        ...

    def around(self, sink: Sink) -> Sink:
        """What takes the rows of a split before the sink of the format does: that one, or one before it."""
        ...

    def close(self) -> None: ...


@frozen
class Expansion:
    """required: whether a plan asks for it. expand: from records that are not rejected. without_parts: the
    fate of a row of which it leaves nothing. inputs: columns of the input that it takes; RECORD is the whole
    of each record, as JSON. open: from a job and the folder of its spool, what is held for the job; its
    `expand` takes the place of this one's. Raises ForgeError. makes_parts: whether it may make several rows
    of one, or none."""

    name: str
    required: Callable[[Config], bool]
    expand: Expand
    without_parts: Fate
    inputs: Callable[[Config], Sequence[str]]
    open: Callable[[JobSpec, Path], Held] | None = None
    makes_parts: Callable[[Config], bool] = lambda config: True


@frozen
class Expansions:
    """Those of a plan, in their order; opened, each expands by what it holds."""

    declared: Sequence[Expansion] = ()
    held: Mapping[str, Held] = field(default_factory=dict)

    @classmethod
    def opened(cls, declared: Sequence[Expansion], spec: JobSpec, spool: Path) -> Expansions:
        """Raises what opening one raises; those before it are closed then."""
        held: dict[str, Held] = {}
        try:
            for expansion in declared:
                if expansion.open is not None:
                    held[expansion.name] = expansion.open(spec, spool)
        except BaseException:
            cls(declared, held).close()
            raise
        bound = [
            replace(each, expand=held[each.name].expand) if each.name in held else each for each in declared
        ]
        return cls(bound, held)

    @property
    def keys(self) -> dict[str, str]:
        return {name: held.key for name, held in self.held.items()}

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        return {name: held.section() for name, held in self.held.items()}

    def room(self, input_bytes: int) -> int:
        return sum(held.room(input_bytes) for held in self.held.values())

    def grown(self, input_bytes: int) -> int:
        """Bytes of the rows that so much input became: as many, where they did not grow."""
        return max([input_bytes, *(held.made() for held in self.held.values())])

    def written(self, records: Records, rows: I64) -> None:
        for held in self.held.values():
            held.written(records, rows)

    def around(self, sink: Sink) -> Sink:
        for held in self.held.values():
            sink = held.around(sink)
        return sink

    def close(self) -> None:
        for held in self.held.values():
            held.close()


@frozen
class Parts:
    """Where m final rows come from. source: int64[m], ascending: the record of the chunk. number: int32[m]:
    the place among the parts of that record; below 0 where it has none and this row stands for it."""

    source: I64
    number: I32


def expand(
    expansions: Sequence[Expansion],
    config: Config,
    engine: Engine,
    records: Records,
    resolve: Callable[[Records], Records] = lambda records: records,
) -> tuple[Records, Parts]:
    """The final rows of some records. Rows without parts have the reason PASSED_OVER, unless another.

    resolve: gives records, as they were made, the columns that stand at a path into them.
    """
    source = np.arange(len(records), dtype=np.int64)
    number = np.where(records.reason == 0, 0, NONE).astype(np.int32)
    for place, expansion in enumerate(expansions):
        live = np.flatnonzero(records.reason == 0)
        made = expansion.expand(config, engine, taken(records, live))
        _check(expansion, made, len(live))
        has_parts = np.zeros(len(live), np.bool_)
        has_parts[made.source] = True
        number[live[~has_parts]] = NOTHING_LEFT - place
        others = np.concatenate((np.flatnonzero(records.reason != 0), live[~has_parts]))
        rows = np.concatenate((live[made.source], others))
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        records = resolve(_replaced(taken(records, rows), made, order))
        source, number = source[rows], number[rows]
        records.reason[(records.reason == 0) & (number < 0)] = PASSED_OVER
    keep = _standing(source, number)
    source, number = source[keep], number[keep]
    return taken(records, keep), Parts(source, _numbered(source, number))


def taken(records: Records, rows: I64) -> Records:
    """Some of the records, in this order."""
    columns = {
        name: column.over(column.start[rows], column.length[rows], column.kind[rows])
        for name, column in records.columns.items()
    }
    return records.over(records.start[rows], records.length[rows], records.reason[rows], columns)


def _replaced(records: Records, made: Expanded, order: I64) -> Records:
    """Records with what was made of them. order: int64[n], where those that were made stand among all: they
    were the first; the others have nothing in the columns that are made."""
    parts = len(made.source)
    if made.reason is not None:
        reason = np.concatenate((made.reason, np.zeros(len(order) - parts, np.uint8)))[order]
        records.reason[reason != 0] = reason[reason != 0]
    columns = dict(records.columns)
    for name, column in made.columns.items():
        nothing = np.zeros(len(order) - parts, np.int64)
        columns[name] = Spans(
            column.data,
            np.concatenate((column.start, nothing))[order],
            np.concatenate((column.length, nothing))[order],
            np.concatenate((column.kind, np.full(len(nothing), layout.ABSENT, np.uint8)))[order],
        )
    return records.with_columns(columns)


def _standing(source: I64, number: I32) -> I64:
    """The rows that stay: parts, and one row for each source row that has none."""
    rows = int(source[-1]) + 1 if len(source) else 0
    has_parts = np.zeros(rows, np.bool_)
    has_parts[source[number >= 0]] = True
    first = np.ones(len(source), np.bool_)
    first[1:] = source[1:] != source[:-1]
    return np.flatnonzero((number >= 0) | (first & ~has_parts[source]))


def _numbered(source: I64, number: I32) -> I32:
    """Parts by their place among those of their source row."""
    first = np.searchsorted(source, source)
    place = (np.arange(len(source)) - first).astype(np.int32)
    return np.where(number < 0, number, place)


def _check(expansion: Expansion, made: Expanded, rows: int) -> None:
    source = made.source
    is_ascending = bool((source[1:] >= source[:-1]).all())
    is_inside = not len(source) or (source[0] >= 0 and source[-1] < rows)
    lengths = {len(column) for column in made.columns.values()} | {len(source)}
    if made.reason is not None:
        lengths.add(len(made.reason))
    if not (is_ascending and is_inside and len(lengths) == 1):
        raise ValidationError(
            f"the expansion {expansion.name} made parts of no rows, or in another order: a fault of Forge; "
            "please report this"
        )
