"""One block of a frame through the quality checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from forge_gpu.config import schema
from forge_gpu.fates import Reason
from forge_gpu.frames.base import Bools
from forge_gpu.frames.blocks import Columns, records_of
from forge_gpu.frames.rendering import Recipe, bind
from forge_gpu.frames.workers import Worker
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Spans
from forge_gpu.quality.checks import REASONS
from forge_gpu.quality.checks import check as run_checks

MALFORMED = "malformed"

Fields = dict[str, Spans]


def by_role(recipe: Recipe, worker: Worker, columns: Columns) -> tuple[Bools, Sequence[Fields]]:
    """The rows that are malformed, and the texts of the others by role."""
    bound = bind(recipe, worker, columns)
    return bound.reason != Reason.NONE, [bound.texts]


def one_by_one(worker: Worker, columns: Columns) -> tuple[Bools, Sequence[Fields]]:
    """The rows with a null or a text that is not UTF-8, and each column on its own."""
    records = records_of(worker.engine, columns)
    malformed = np.zeros(len(records), np.bool_)
    for column in records.columns.values():
        malformed |= column.kind < layout.PLAIN
    return malformed, [{"text": column} for column in records.columns.values()]


def judged(
    find: Callable[..., tuple[Bools, Sequence[Fields]]],
    *where: Any,
    checks: schema.Checks,
    names: Sequence[str],
    max_length: int | None,
) -> dict[str, Bools]:
    """The rows that fail each of the named checks, in any of the fields; first those that are malformed.

    find: `by_role` or `one_by_one`; where: its arguments, of which the worker is the last but one.
    """
    malformed, each = find(*where)
    engine = where[-2].engine
    failed = {MALFORMED: malformed, **{name: np.zeros(len(malformed), np.bool_) for name in names}}
    for fields in each:
        warned = run_checks(fields, checks, max_length, engine).warned
        for name in names:
            failed[name] |= warned[REASONS[name]]
    return failed
