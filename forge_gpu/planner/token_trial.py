"""One row of the inputs as its tokens."""

from __future__ import annotations

from forge_gpu.engine.base import Engine
from forge_gpu.errors import InputError
from forge_gpu.fates import Reason, name
from forge_gpu.job.rows.rows import RowReader
from forge_gpu.job.rows.shown_tokens import ShownRow, TokenView
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.planner.template_trial import read_rows


def try_tokens(spec: JobSpec, engine: Engine, number: int) -> ShownRow | str:
    """The tokens of a row (from 1, over all inputs); why it is refused, where it is. Raises ForgeError."""
    reader = RowReader(spec.config, engine)
    view = TokenView(spec.config, reader, engine)
    seen = 0
    for rows in read_rows(spec, reader):
        row = number - seen - 1
        seen += len(rows)
        if row >= len(rows):
            continue
        if rows.reason[row]:
            reason = name(Reason(rows.reason[row]))
            return ": ".join(filter(None, (reason, rows.detail(row))))
        return view.row(rows, row)
    raise InputError(f"there is no row {number}: the input has {seen}")
