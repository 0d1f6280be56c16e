"""Rows whose texts are known as a whole alone: which of their control tokens are the template's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.job.rows.rows import Rows
from forge_gpu.kernels.layout import I64, U8, Text
from forge_gpu.kernels.token_layout import GUARDED
from forge_gpu.templates.conversations import ChunkRecord, Shape
from forge_gpu.templates.forms.tokens import prompt_alone
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
        self._template = getattr(renderer, "template", None)
        self._prompt_alone = prompt_alone(config)
        self._mapping = config.data.mapping
        guarded = plan.added.flags & GUARDED != 0
        self._tokens = [
            token.content for token, own in zip(plan.definition.added, guarded, strict=True) if own
        ]

    @cached_property
    def _origins(self) -> Origins | None:
        """Made where it is asked for: of hundreds of tokens it takes a while."""
        if self._template is None or not self._tokens:
            return None
        from forge_gpu.templates.origins import Origins  # it loads Jinja

        return Origins(self._template, self._tokens)

    @cached_property
    def _sides(self) -> tuple[Shape, ...]:
        return shape_of(self._mapping).sides(self._mapping)

    def own_tokens(
        self, rows: Rows, chosen: I64, texts: Text, unknown: U8, side: int
    ) -> Mapping[int, list[Span]]:
        """By their place among the chosen rows: of those in whose control tokens contents may have a share,
        the characters of the template's own. Of a row of which it cannot be told: none. side: of pairs, whose
        texts they are."""
        result: dict[int, list[Span]] = {}
        for place in np.flatnonzero(unknown).tolist():
            row = int(chosen[place])
            if self._may_forge(rows, row, side):
                result[place] = self._template_spans(rows, row, texts.row(place).decode(), side) or []
        return result

    def unknown_rows(self, rows: Rows, text_of: Callable[[I64], Text], side: int) -> I64:
        """Rows of which it cannot be told. text_of: renders some rows, of pairs with the answer of `side`."""
        if not rows.bound.whole_texts or self._origins is None:
            return np.zeros(0, np.int64)
        suspects = [row for row in self._of_whole_texts(rows) if self._may_forge(rows, row, side)]
        texts = text_of(np.array(suspects, np.int64)) if suspects else None
        unknown = [
            row
            for place, row in enumerate(suspects)
            if texts is not None and self._template_spans(rows, row, texts.row(place).decode(), side) is None
        ]
        return np.array(unknown, np.int64)

    def _of_whole_texts(self, rows: Rows) -> list[int]:
        """Live rows whose programs write a whole text."""
        bound = rows.bound
        numbers = {
            number
            for number, program in enumerate(bound.programs)
            if any(isinstance(part, Slot) and part.column in bound.whole_texts for part in program)
        }
        program = bound.program[next(iter(bound.program))]  # the fields of a row are made in one way
        return [row for row in rows.live.tolist() if int(program[row]) in numbers]

    def _may_forge(self, rows: Rows, row: int, side: int) -> bool:
        if self._origins is None:
            return False
        columns = (rows.records.columns[name] for name in self._sides[side].columns)
        return self._origins.may_forge(column.raw(row) for column in columns)

    def _template_spans(self, rows: Rows, row: int, text: str, side: int) -> list[Span] | None:
        assert self._origins is not None
        try:
            conversation = self._sides[side].conversation(ChunkRecord(rows.records, row))
        except BadRecord:  # it was rendered, so it can be read
            return None
        return self._origins.own_tokens(conversation, text, self._prompt_alone)
