"""One row as its tokens, for whoever wants to see what a trainer gets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.errors import ConfigError, InputError
from forge_gpu.fates import Reason, name
from forge_gpu.job.rows.cuts import RowCutter
from forge_gpu.job.rows.encoded import RowEncoder
from forge_gpu.job.rows.rows import RowReader, Rows
from forge_gpu.job.rows.tokenizers import tokenizer_plan
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels.layout import AS_TEXT, I64, Text
from forge_gpu.planner.template_trial import read_rows
from forge_gpu.templates.lines import Composer


@dataclass(frozen=True, slots=True)
class ShownToken:
    """text: what it stands for, with what is no UTF-8 of its own replaced."""

    id: int
    text: str
    is_trained: bool
    is_added: bool


@dataclass(frozen=True, slots=True)
class ShownRow:
    """tokens: as they are written. control_text: control tokens that its contents spell. cut_tokens,
    cut_messages: what was cut off. most: tokens of a piece, where rows are split into several; else None."""

    tokens: list[ShownToken]
    control_text: int
    cut_tokens: int
    cut_messages: int
    most: int | None


def _text(engine: Engine, fields: Composer, rows: Rows, some: I64) -> Text:
    table, program = fields.table(rows.bound)
    columns = [rows.column(name) for name in table.columns]
    return engine.render(table, program, columns, some, AS_TEXT, rows.bound.first)


def try_tokens(spec: JobSpec, engine: Engine, number: int) -> ShownRow | str:
    """The tokens of a row (from 1, over all inputs); why it is refused, where it is. Raises ForgeError."""
    plan = tokenizer_plan(spec.config)
    if plan is None:
        raise ConfigError("the plan makes no tokens: --set output.form=tokens --set tokens.tokenizer=FOLDER")
    reader = RowReader(spec.config, engine)
    seen = 0
    for rows in read_rows(spec, reader):
        row = number - seen - 1
        seen += len(rows)
        if row >= len(rows):
            continue
        if rows.reason[row]:
            reason = name(Reason(rows.reason[row]))
            return ": ".join(filter(None, (reason, rows.detail(row))))
        encoder = RowEncoder(spec.config, engine, plan, reader.renderer)
        chosen = np.array([row], np.int64)
        whole = encoder.encode(rows, chosen).tokens
        fields = Composer(("text",), lambda programs: programs[0])
        cut = RowCutter(spec.config, reader, encoder, partial(_text, engine, fields)).cut(rows, chosen, whole)
        tokens = cut.tokens
        added = {token.id for token in plan.definition.added}
        shown = [
            ShownToken(
                identity, encoder.bytes_of(identity).decode(errors="replace"), bool(weight), identity in added
            )
            for identity, weight in zip(tokens.ids.tolist(), tokens.weights.tolist(), strict=True)
        ]
        most = spec.config.model.max_length if spec.config.tokens.cut == "split" else None
        return ShownRow(shown, int(whole.guarded[0]), int(cut.cut_tokens[0]), int(cut.cut_messages[0]), most)
    raise InputError(f"there is no row {number}: the input has {seen}")
