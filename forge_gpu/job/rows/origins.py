"""Rows whose texts are known as a whole alone: which of their control tokens are the template's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.job.rows.rows import Rows
from forge_gpu.kernels.layout import I64, U8, Text
from forge_gpu.kernels.token_layout import GUARDED
from forge_gpu.templates.conversations import ChunkRecord, Shape
from forge_gpu.templates.program import Slot
from forge_gpu.templates.records import BadRecord
from forge_gpu.templates.renderer import Renderer
from forge_gpu.templates.shapes import shape_of
from forge_gpu.tokens.tokenizer import TokenizerPlan

if TYPE_CHECKING:
    from forge_gpu.templates.origins import Origins, Span


class RowOrigins:
    """Belongs to one workspace. renderer: whose texts they are."""

    def __init__(self, config: Config, renderer: Renderer, plan: TokenizerPlan) -> None:
        self._origins: Origins | None = None
        self._shape: Shape | None = None
        guarded = plan.added.flags & GUARDED != 0
        tokens = [token.content for token, own in zip(plan.definition.added, guarded, strict=True) if own]
        template = getattr(renderer, "template", None)
        if template is not None and tokens:
            from forge_gpu.templates.origins import Origins  # it loads Jinja

            self._origins = Origins(template, tokens)
            self._shape = shape_of(config.data.mapping).sides(config.data.mapping)[0]

    def own_tokens(self, rows: Rows, chosen: I64, texts: Text, unknown: U8) -> Mapping[int, list[Span]]:
        """By their place among the chosen rows: of those in whose control tokens contents may have a share,
        the characters of the template's own. Of a row of which it cannot be told: none."""
        result: dict[int, list[Span]] = {}
        for place in np.flatnonzero(unknown).tolist():
            row = int(chosen[place])
            if self._may_forge(rows, row):
                result[place] = self._template_spans(rows, row, texts.row(place).decode()) or []
        return result

    def unknown_rows(self, rows: Rows, text_of: Callable[[I64], Text]) -> list[int]:
        """Rows of which it cannot be told. text_of: renders some rows."""
        if self._origins is None or not rows.bound.whole_texts:
            return []
        suspects = [row for row in self._of_whole_texts(rows) if self._may_forge(rows, row)]
        if not suspects:
            return []
        texts = text_of(np.array(suspects, np.int64))
        return [
            row
            for place, row in enumerate(suspects)
            if self._template_spans(rows, row, texts.row(place).decode()) is None
        ]

    def _of_whole_texts(self, rows: Rows) -> list[int]:
        """Live rows whose programs write a whole text."""
        bound = rows.bound
        numbers = {
            number
            for number, program in enumerate(bound.programs)
            if any(isinstance(part, Slot) and part.column in bound.whole_texts for part in program)
        }
        [field] = [name for name in bound.program if name == "text"]
        program = bound.program[field]
        return [row for row in rows.live.tolist() if int(program[row]) in numbers]

    def _may_forge(self, rows: Rows, row: int) -> bool:
        if self._origins is None or self._shape is None:
            return False
        columns = (rows.records.columns[name] for name in self._shape.columns)
        return self._origins.may_forge(column.raw(row) for column in columns)

    def _template_spans(self, rows: Rows, row: int, text: str) -> list[Span] | None:
        assert self._origins is not None and self._shape is not None
        try:
            conversation = self._shape.conversation(ChunkRecord(rows.records, row))
        except BadRecord:  # it was rendered, so it can be read
            return None
        return self._origins.own_tokens(conversation, text)
