"""The texts of a chunk's conversations, by the machine: whole, or cut into prompt and completion.

Rows that stand in the chunk as messages with role and content are read from their JSON as they are. Others
(from ShareGPT, from columns of their own) are read in Python and spelled as JSON, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.vm_rows import Machine, Rendered, same_texts
from forge_gpu.kernels.layout import I64, Spans, empty_spans
from forge_gpu.kernels.vm_layout import MARK_BEGIN, Outcome, Variable
from forge_gpu.plain import mutable
from forge_gpu.templates.conversations import Bools, Conversations
from forge_gpu.templates.environment import ChatTemplate
from forge_gpu.templates.final_message import as_given
from forge_gpu.templates.functions import strftime_of
from forge_gpu.templates.records import BadRecord, Message
from forge_gpu.templates.renderer import scattered, sparse_spans
from forge_gpu.templates.turns.finder import SpanRule, rule_of
from forge_gpu.templates.turns.spans import Spans as Stretches
from forge_gpu.templates.turns.trained import weight_fault
from forge_gpu.templates.values import ABSENT
from forge_gpu.templates.vm.code import Unsupported
from forge_gpu.templates.vm.program import CompiledTemplate, Marks, compile_program
from forge_gpu.templates.vm.turns import Columns, TurnSpans, WrittenRows

PROMPTED = {"add_generation_prompt": True}
Found = dict[int, Stretches | None]


@mutable
class Texts:
    """Of n rows. done: bool[n]. fields: Spans[n] each, the text, or prompt and completion; ABSENT where a row
    is not done. spans: of rows done, those of what is trained, in characters; None where they are not
    known."""

    done: Bools
    fields: tuple[Spans, ...]
    spans: Found


class TextMachine:
    """A template's machines, for one thread. split: texts are cut into prompt and completion. rule: how spans
    are found; None: they are not asked for.

    why: reason -> rows that it gave up, so far.
    """

    def __init__(
        self, template: ChatTemplate, split: bool, renamed: Mapping[str, str], rule: SpanRule | None = None
    ) -> None:
        """Raises Unsupported where the template has no code."""
        if template.final_field is not None:
            raise Unsupported("a final message to go on with")
        self.split, self._rule = split, rule
        self.compiled = _compiled(template, {}, renamed, Variable.MESSAGES, split or rule is not None)
        self._cutter = rule_of(template)
        self.why: dict[str, int] = {}
        self._programs = [self.compiled]
        if (split or rule is not None) and self.compiled.marks == Marks.INEXACT:
            raise Unsupported("generation tags inside a macro or a set block")
        if split:
            self._programs.append(_compiled(template, PROMPTED, renamed, Variable.PROMPT, True))
        elif rule is not None:
            self._programs.append(_compiled(template, PROMPTED, renamed, Variable.MESSAGES, True))
        self._machines: dict[tuple[int, bool, str], Machine] = {}
        self._span_finders: dict[bool, TurnSpans] = {}

    def _machine(self, number: int, again: bool, what: str = "") -> Machine:
        """The machine of a program; that of rows read in Python has no roles to rename. what: a machine of
        its own, since a machine's texts live until its next run."""
        if (number, again, what) not in self._machines:
            program = self._programs[number].program
            self._machines[number, again, what] = Machine(
                replace(program, renamed=(0, 0)) if again else program
            )
        return self._machines[number, again, what]

    @property
    def nbytes(self) -> int:
        return sum(machine.nbytes for machine in self._machines.values())

    def texts(self, conversations: Conversations, rows: I64, engine: Engine) -> Texts:
        """The texts of some rows of a chunk. They live until the next call."""
        spelled = conversations.spelled
        first, left = self._nothing(len(conversations)), rows
        if spelled is not None:
            stand = rows[spelled.rows[rows]]
            first, other = self._run((spelled.messages, spelled.tools), stand, conversations, False, engine)
            left = np.union1d(rows[~spelled.rows[rows]], other)
        columns, left = _spelled_anew(conversations, left)
        if not len(left):
            return first
        return _joined(first, self._run(columns, left, conversations, True)[0])

    def of_spelled(self, conversations: Conversations, rows: I64) -> Texts:
        """The same, of rows that stand in the chunk as messages alone; tools are not looked at."""
        spelled = conversations.spelled
        if spelled is None:
            return self._nothing(len(conversations))
        columns = (spelled.messages, empty_spans(len(conversations)))
        return self._run(columns, rows[spelled.rows[rows]], conversations, False)[0]

    def _nothing(self, n: int) -> Texts:
        fields = tuple(empty_spans(n) for _ in range(1 + self.split))
        return Texts(np.zeros(n, np.bool_), fields, {})

    def _run(
        self,
        columns: Columns,
        rows: I64,
        conversations: Conversations,
        again: bool,
        engine: Engine | None = None,
    ) -> tuple[Texts, I64]:
        """(the texts of some rows, those whose messages were of another form). engine: runs the code where no
        more than the texts is asked for; None: this thread."""
        n = len(conversations)
        if not len(rows):
            return self._nothing(n), rows
        machine = self._machine(0, again)
        with_marks = self.split or self._rule is not None
        if engine is None or with_marks:
            whole = machine.run(columns, rows)
        else:
            whole = engine.run_code(machine, columns, rows)
        done = whole.outcome == Outcome.DONE
        odd = (whole.outcome == Outcome.TO_JINJA) & (whole.place < 0)
        self._count(whole, ~done & ~(odd & (not again)))
        spans: Found = {}
        if self._rule is not None:
            spans = self._spans(columns, rows, WrittenRows(machine, whole), done, conversations, again)
        parts: tuple[Spans, ...] = (whole.text,)
        if self.split:
            parts, cut = self._cut(columns, rows, whole, done, conversations, again)
            done &= cut
        fields = tuple(scattered(_some(part, done), rows[done], n) for part in parts)
        everywhere = np.zeros(n, np.bool_)
        everywhere[rows[done]] = True
        return Texts(everywhere, fields, spans), rows[odd]

    def _count(self, rendered: Rendered, given_up: Bools) -> None:
        for place in rendered.place[given_up & (rendered.outcome == Outcome.TO_JINJA)].tolist():
            why = self.compiled.why(place)
            self.why[why] = self.why.get(why, 0) + 1

    def _spans(
        self,
        columns: Columns,
        rows: I64,
        whole: WrittenRows,
        done: Bools,
        conversations: Conversations,
        again: bool,
    ) -> Found:
        """The spans of rows, by row."""
        assert self._rule is not None
        if again not in self._span_finders:
            prompts, closed = self._machine(1, again), self._machine(0, again, "closed")
            self._span_finders[again] = TurnSpans(self._rule, prompts, closed)

        def messages_of(row: int) -> list[Message]:
            messages = as_given(conversations.read(row).messages)
            bad = weight_fault(messages, roles)
            if bad is not None:
                conversations.refuse(row, bad)
            return messages

        roles, numbers = self._rule.roles, np.flatnonzero(done).tolist()
        result = self._span_finders[again].of_rows(columns, rows, whole, numbers, messages_of)
        return {int(rows[k]): spans for k, spans in result.items()}

    def _cut(
        self,
        columns: Columns,
        rows: I64,
        whole: Rendered,
        done: Bools,
        conversations: Conversations,
        again: bool,
    ) -> tuple[tuple[Spans, Spans], Bools]:
        """(prompts and completions, which rows have them): a completion begins with the last generation
        block, else behind what the prompt alone gives."""
        machine = self._machine(0, again)
        prompt = self._machine(1, again).run(columns, rows)
        cut = prompt.outcome == Outcome.DONE
        length = prompt.text.length.copy()
        marked = np.zeros(len(rows), np.bool_)
        if self.compiled.marks == Marks.EXACT:
            for k in np.flatnonzero(done & (np.diff(whole.mark_offsets) > 0)).tolist():
                marks = whole.marks[whole.mark_offsets[k] : whole.mark_offsets[k + 1]]
                begins = marks[marks[:, 1] == MARK_BEGIN, 0]
                if len(begins):
                    length[k], marked[k] = begins.max(), True
        begins_so = done & same_texts(whole.text, prompt.text, False)
        text = whole.text
        texts, prompts = WrittenRows(machine, whole), WrittenRows(self._machine(1, again), prompt)
        for k in np.flatnonzero(done & cut & ~marked & ~begins_so).tolist():
            messages = as_given(conversations.read(int(rows[k])).messages)
            written = texts.written(k)
            start = self._cutter.last_turn(messages, written, prompts.written(k))
            if start is not None:
                length[k], marked[k] = _body_bytes(written.text[:start]), True
        cut &= marked | begins_so
        length[~cut] = 0
        kind = np.full(len(rows), layout.CANONICAL, np.uint8)
        return (
            Spans(text.data, text.start, length, kind),
            Spans(text.data, text.start + length, text.length - length, kind),
        ), cut


def _compiled(
    template: ChatTemplate,
    changed: Mapping[str, object],
    renamed: Mapping[str, str],
    messages: Variable,
    turns: bool = False,
) -> CompiledTemplate:
    fixed = {**template.fixed, **changed}
    date = strftime_of(template.date)
    return compile_program(template.environment, template.source, fixed, renamed, date, messages, turns)


def _body_bytes(text: str) -> int:
    """The bytes of a text as the body of a JSON string."""
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


def _some(texts: Spans, rows: Bools) -> Spans:
    return texts.over(texts.start[rows], texts.length[rows], texts.kind[rows])


def _joined(first: Texts, second: Texts) -> Texts:
    """Two texts of the same rows, each done where the other is not."""
    if not first.done.any():
        return second
    fields = []
    for one, other in zip(first.fields, second.fields, strict=True):
        taken = second.done
        start = np.where(taken, other.start + len(one.data), one.start)
        length, kind = np.where(taken, other.length, one.length), np.where(taken, other.kind, one.kind)
        fields.append(Spans(np.concatenate([one.data, other.data]), start, length, kind))
    return Texts(first.done | second.done, tuple(fields), first.spans | second.spans)


def _spelled_anew(conversations: Conversations, rows: I64) -> tuple[Columns, I64]:
    """(messages and tools of rows that are read in Python, as JSON; the rows that have them)."""
    messages: dict[int, bytes] = {}
    tools: dict[int, bytes] = {}
    for row in rows.tolist():
        try:
            conversation = conversations.read(row)
            messages[row] = json.dumps(conversation.messages, ensure_ascii=False).encode()
            if conversation.tools is not ABSENT:
                tools[row] = json.dumps(conversation.tools, ensure_ascii=False).encode()
        except (BadRecord, UnicodeEncodeError):
            messages.pop(row, None)
    n = len(conversations)
    columns = [sparse_spans(texts, n, layout.JSON) for texts in (messages, tools)]
    return (columns[0], columns[1]), np.array(sorted(messages), np.int64)
