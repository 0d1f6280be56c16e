"""Spans of what is trained, of rows that the machine writes: by the same rule as by Jinja."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from forge_gpu.kernels.cpu.vm_rows import Machine, Rendered
from forge_gpu.kernels.layout import I64, Spans
from forge_gpu.kernels.vm_layout import MARK_BEGIN, MARK_END, MARK_TURN, Outcome
from forge_gpu.templates.records import Message
from forge_gpu.templates.turns.finder import SpanRule, first_after
from forge_gpu.templates.turns.spans import Spans as Stretches
from forge_gpu.templates.turns.written import Written
from forge_gpu.templates.values import text_of_span

Columns = tuple[Spans, Spans]


class WrittenRows:
    """Rows of a run of the machine as texts and whose turns they are; blocks: the generation blocks."""

    def __init__(self, machine: Machine, rendered: Rendered) -> None:
        self._rendered = rendered
        self._marks = machine.mark_characters(rendered).tolist() if len(rendered.outcome) else []
        self._bounds = rendered.mark_offsets.tolist()

    def _of(self, k: int) -> list[list[int]]:
        return self._marks[self._bounds[k] : self._bounds[k + 1]]

    def written(self, k: int) -> Written:
        turns = tuple((place, what - MARK_TURN - 1) for place, what in self._of(k) if what >= MARK_TURN)
        return Written(text_of_span(self._rendered.text, k), turns)

    def blocks(self, k: int) -> Stretches:
        """In the order that they end."""
        begun: list[int] = []
        blocks = []
        for place, what in self._of(k):
            if what == MARK_BEGIN:
                begun.append(place)
            elif what == MARK_END:
                blocks.append((begun.pop(), place))
        return blocks


class TurnSpans:
    """Finds the spans of rows. prompts, closed: machines that write a conversation up to a message, with what
    add_generation_prompt writes and without."""

    def __init__(self, rule: SpanRule, prompts: Machine, closed: Machine) -> None:
        self.rule, self._prompts, self._closed = rule, prompts, closed

    def of_rows(
        self,
        columns: Columns,
        rows: I64,
        whole: WrittenRows,
        done: Sequence[int],
        messages_of: Callable[[int], list[Message]],
    ) -> dict[int, Stretches | None]:
        """The spans of rows[k] for each k of `done`, by k."""
        messages = {k: messages_of(int(rows[k])) for k in done}
        if self.rule.tagged:
            return {
                k: self.rule.of_blocks(messages[k], whole.blocks(k), lambda k=k: whole.written(k))  # type: ignore[misc]
                for k in done
            }
        prompts = self._written_prompts(columns, rows, messages)
        spans = {}
        for k in done:
            turns = self.rule.turns(
                messages[k],
                whole.written(k),
                lambda number, k=k: prompts.get((k, number)),  # type: ignore[misc]
                lambda number, k=k: self._written_to(columns, int(rows[k]), number + 1),  # type: ignore[misc]
            )
            spans[k] = turns.spans()
        return spans

    def _written_prompts(
        self, columns: Columns, rows: I64, messages: Mapping[int, list[Message]]
    ) -> dict[tuple[int, int], Written]:
        """What stands before the first answer to each role, for each row."""
        asked = [
            (k, number)
            for k, given in messages.items()
            for role in {message.get("role") for message in given[:-1]}
            if (number := first_after(given, role)) is not None
        ]
        limits = np.array([number for _, number in asked], np.int64)
        numbers = np.array([rows[k] for k, _ in asked], np.int64)
        rendered = self._prompts.run(columns, numbers, limits)
        texts = WrittenRows(self._prompts, rendered)
        done = np.flatnonzero(rendered.outcome == Outcome.DONE).tolist()
        return {asked[at]: texts.written(at) for at in done}

    def _written_to(self, columns: Columns, row: int, count: int) -> Written | None:
        rendered = self._closed.run(columns, np.array([row], np.int64), np.array([count], np.int64))
        if rendered.outcome[0] != Outcome.DONE:
            return None
        return WrittenRows(self._closed, rendered).written(0)
