"""The renderer of a model's own chat template: compiled where that pays, row by row elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import field
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.errors import TemplateError
from forge_gpu.fates import Reason
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Records, Spans, empty_spans
from forge_gpu.plain import mutable
from forge_gpu.templates.contents import Contents, texts_by_role
from forge_gpu.templates.conversations import Bools, Conversation, Conversations, Shape
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.guard import Guard
from forge_gpu.templates.jinja_rows import JinjaRows
from forge_gpu.templates.program import Literal, Part, Program, RawSlot, Slot, TrainedMark
from forge_gpu.templates.records import BadRecord
from forge_gpu.templates.renderer import Bound, own, sparse_spans
from forge_gpu.templates.tracing.columns import CONTENT, TextColumns, needs_of
from forge_gpu.templates.tracing.compiler import EAGER, PATIENT, TOO_RARE, Compiler, Patience
from forge_gpu.templates.tracing.cutover import Cutover
from forge_gpu.templates.tracing.expressions import Expression, Mark, Text, evaluate
from forge_gpu.templates.tracing.fields import Compiled, Refusal
from forge_gpu.templates.tracing.spans import spans_of, with_spans
from forge_gpu.templates.tracing.trace import Fallback
from forge_gpu.templates.turns.finder import ASSISTANT, SpanRule
from forge_gpu.templates.turns.spans import Spans as Stretches
from forge_gpu.templates.turns.trained import weight_fault
from forge_gpu.templates.values import GOOD

if TYPE_CHECKING:
    from forge_gpu.templates.vm.texts import TextMachine

SPANS = "spans"
UNKNOWN_SPANS = "the template does not write turn after turn: what the assistant wrote cannot be told exactly"
Rendered = dict[int, tuple[bytes, ...]]
TELLING_ROWS = 8
"""Of a program: one whose answer is empty does not tell where answers begin and end."""


@mutable
class Counts:
    """Rows by the way they took, over all chunks, for the report."""

    compiled: int = 0
    evaluated: int = 0
    row_wise: int = 0
    refused: int = 0


@mutable
class MachineRows:
    """How many rows the machine has made, for the guard."""

    rows: int = 0


@mutable
class JinjaRenderer:
    """`fields`: ("text",), ("text", "spans"), ("prompt",) without an answer, ("prompt", "completion")
    or ("prompt", "chosen", "rejected"); for the last, `shapes` are the two sides of the pair, else the one
    conversation.

    spans: a JSON list of [start, end), in characters of the text, of what messages of `roles` wrote
    (`only_last`: the last one); where they are not known null, or the row is refused (`rejects_unknown`).
    marks_spans: programs may tell them by marks instead, and the list of such a row is null.
    compiled: False renders every row with Jinja itself.
    """

    template: ChatTemplate
    shapes: tuple[Shape, ...]
    fields: tuple[str, ...]
    compiled: bool = True
    patience: Patience = PATIENT
    roles: frozenset[str] = ASSISTANT
    only_last: bool = False
    rejects_unknown: bool = False
    marks_spans: bool = False
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self.texts = tuple(name for name in self.fields if name != SPANS)
        self.json_fields = frozenset(self.fields) - frozenset(self.texts)
        self.whole_texts = frozenset(
            own(f"{which} {name}") for which in ("rendered", "machine's") for name in self.texts
        )
        self.programs: list[Program] = [(Slot(own(f"rendered {name}")),) for name in self.texts]
        self.programs += [(Slot(own(f"machine's {name}")),) for name in self.texts]
        if SPANS in self.fields:
            self.programs.append((RawSlot(own(SPANS)),))
        self.split = len(self.texts) > 1
        self.span_rule = SpanRule(self.template, self.roles, self.only_last) if SPANS in self.fields else None
        self._has_code = self.compiled and self.template.final_field is None  # a cut at a tag is no program
        traced = self._has_code and (self.span_rule is None or self.marks_spans)
        self.compiler = Compiler(self.template, self.split, self.patience) if traced else None
        self.jinja_rows = JinjaRows(self.template, self.split, self.span_rule)
        self.cutover = Cutover(self.jinja_rows)
        self.guard = Guard(self.template, self.split)
        one = () if self.texts == ("prompt",) else ("response",)
        self.answers = one if len(self.shapes) == 1 else self.texts[1:]
        self.contents = [Contents(getattr(shape, "renamed", {})) for shape in self.shapes]
        self._fallbacks: dict[str, int] = {}
        self._machine_rows = MachineRows()
        self._message_columns: set[str] = {CONTENT}
        self._row_columns: set[str] = set()

    @cached_property
    def machine(self) -> list[TextMachine] | None:
        """A machine for each side; None for templates that have no code.

        Made for the first row that has no program: most jobs of plain chats never load its kernels.
        """
        if not self._has_code:
            return None
        from forge_gpu.templates.vm.code import Unsupported
        from forge_gpu.templates.vm.texts import TextMachine

        try:
            return [
                TextMachine(self.template, self.split, getattr(shape, "renamed", {}), self.span_rule)
                for shape in self.shapes
            ]
        except Unsupported as why:
            self._fallbacks[str(why)] = 0
            return None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for shape in self.shapes for name in shape.columns))

    def bind(self, records: Records, engine: Engine) -> Bound:
        """Raises TemplateError where a program and Jinja differ, or where the template meets a bound."""
        before = dict(vars(self.counts))
        chunk = _Chunk(self, [shape.read(records, engine) for shape in self.shapes], engine)
        chunk.bind()
        bound = chunk.bound()
        bound.counts = {
            render_path: rows - before[render_path] for render_path, rows in vars(self.counts).items()
        }
        return bound

    def fallbacks(self) -> list[tuple[str, int]]:
        """Why rows were rendered one by one, with how many were: what no program can be made of."""
        why = Counter(self._fallbacks)
        machines = self.machine if "machine" in vars(self) else None  # none was made yet
        for machine in machines or ():
            why.update(machine.why)
        return [(reason, rows) for reason, rows in why.most_common() if rows]

    def fell_back(self, why: str, rows: int) -> None:
        self._fallbacks[why] = self._fallbacks.get(why, 0) + rows

    def program_of(self, parts: tuple[Expression, ...], columns: TextColumns) -> int:
        """The index of the program that writes these parts."""
        program: list[Part] = []
        for part in parts:
            if isinstance(part, Text):
                program.append(Literal(part.text.encode()))
                continue
            if isinstance(part, Mark):
                program.append(TrainedMark(part.opens))
                continue
            slot = columns.slot(part)
            program.append(slot)
            (self._message_columns if columns.is_message_level(part) else self._row_columns).add(slot.column)
        self.programs.append(tuple(program))
        return len(self.programs) - 1


class _Chunk:
    """The work on one chunk."""

    def __init__(self, renderer: JinjaRenderer, sides: list[Conversations], engine: Engine) -> None:
        self.renderer = renderer
        self.sides = sides
        self.conversations = sides[0]
        self.engine = engine
        self.columns = TextColumns(self.conversations, engine)
        n = len(self.conversations)
        self.program = {name: np.full(n, -1, np.int32) for name in renderer.fields}
        self.rendered: Rendered = {}
        self.machine_texts: dict[str, Spans] = {}
        self.spans: dict[int, bytes] = {}

    def bind(self) -> None:
        left = self.conversations.reason == GOOD
        if self.renderer.compiler is not None and len(self.sides) == 1:
            self._bind_programs(self.renderer.compiler, left)
        if left.any() and self.renderer.machine is not None:
            self._bind_machine(self.renderer.machine, left)
        for row in np.flatnonzero(left).tolist():
            self._render_row(row)
        for number, name in enumerate(self.renderer.texts):
            self.program[name][list(self.rendered)] = number
        if SPANS in self.program:
            self.program[SPANS][:] = 2 * len(self.renderer.texts)

    def _bind_machine(self, machines: list[TextMachine], left: Bools) -> None:
        """Bind the rows whose texts the machine makes; takes them from `left`."""
        from forge_gpu.kernels.cpu.vm_rows import same_texts

        sides = [
            machine.texts(side, np.flatnonzero(left & (side.reason == GOOD)), self.engine)
            for machine, side in zip(machines, self.sides, strict=True)
        ]
        done, fields = sides[0].done, list(sides[0].fields)
        if len(sides) == 2:  # chosen and rejected answer one prompt, else Jinja's way words the refusal
            done = done & sides[1].done & same_texts(fields[0], sides[1].fields[0], True)
            fields.append(sides[1].fields[1])
        rows = np.flatnonzero(done)
        left &= ~done
        for number, name in enumerate(self.renderer.texts):
            self.machine_texts[name] = fields[number].without(~done)
            self.program[name][rows] = len(self.renderer.texts) + number
        if SPANS in self.program:
            self._note_spans({row: spans for row, spans in sides[0].spans.items() if done[row]})
            rows = rows[self.conversations.reason[rows] == GOOD]
        for row in self.renderer.guard.bound(self.renderer._machine_rows, rows):
            self._compare_spans(row, sides[0].spans.get(row))
        self.renderer.counts.compiled += len(rows)

    def _compare_spans(self, row: int, spans: Stretches | None) -> None:
        """The machine's spans of a row with those by Jinja: a part of the guard that is always on."""
        rule = self.renderer.span_rule
        if rule is None:
            return
        by_jinja = rule.find(self.conversations.read(row))
        if spans != by_jinja:
            raise TemplateError(
                f"row {row} of a chunk: the spans of a compiled program, {spans}, differ from those by "
                f"Jinja, {by_jinja}; set model.compile to false and report this template"
            )

    def _bind_programs(self, compiler: Compiler, left: Bools) -> None:
        """Bind the plain rows that have programs; takes them from `left`."""
        for rows, result in compiler.plain(self.conversations, self.columns):
            if isinstance(result, Refusal):
                for row in rows.tolist():
                    message = evaluate(result.message, self.columns.lookup(row))
                    self.conversations.refuse(row, BadRecord(message, Reason.TEMPLATE_REFUSED))
                self.renderer.guard.refused(result, rows, self.conversations)
                self.renderer.counts.refused += len(rows)
                left[rows] = False
            elif isinstance(result, Compiled):
                if self._bind_compiled(result, rows):
                    left[rows] = False
            else:
                self.renderer.fell_back(result.why, len(rows))

    def _bind_compiled(self, result: Compiled, rows: I64) -> bool:
        """False where the program does not say what is trained: the rows are for others."""
        renderer = self.renderer
        if result.needs is None and renderer.span_rule is not None and not self._mark(result, rows):
            return False
        if result.needs is None:
            result.programs = [renderer.program_of(parts, self.columns) for parts in result.fields]
            texts = [part for parts in result.fields for part in parts if not isinstance(part, Text | Mark)]
            result.needs = needs_of(texts)
        self.columns.fill(result.needs, rows)
        for name, index in zip(renderer.texts, result.programs, strict=True):
            self.program[name][rows] = index
        for row in renderer.guard.bound(result, rows):
            if renderer.span_rule is not None:
                self._compare_spans(row, spans_of(result.fields[0], self.columns.lookup(row)))
        renderer.counts.compiled += len(rows)
        return True

    def _mark(self, result: Compiled, rows: I64) -> bool:
        """Mark what is trained in the text of a program, with one of the first rows of it that tells."""
        rule = self.renderer.span_rule
        if rule is None or result.is_unmarked:
            return False
        [parts] = result.fields
        for row in rows[:TELLING_ROWS].tolist():
            spans = rule.settled(self.conversations.read(row))
            marked = None if spans is None else with_spans(parts, spans, self.columns.lookup(row))
            if marked is not None:
                result.fields = (marked,)
                return True
        result.is_unmarked = True
        return False

    def _note_spans(self, result: Mapping[int, Stretches | None]) -> None:
        for row, spans in result.items():
            if spans is not None:
                self.spans[row] = json.dumps(spans).encode()
            elif self.renderer.rejects_unknown:
                self.conversations.refuse(row, BadRecord(UNKNOWN_SPANS, Reason.UNKNOWN_SPANS))

    def _render_row(self, row: int) -> None:
        try:
            self.rendered[row] = tuple(text.encode() for text in self._texts(row))
        except BadRecord as bad:
            self.conversations.refuse(row, bad)
        except Refused as refused:
            self.conversations.refuse(row, BadRecord(str(refused), Reason.TEMPLATE_REFUSED))
            self.renderer.counts.refused += 1
        except UnicodeEncodeError:
            self.conversations.refuse(
                row, BadRecord("the template writes half a surrogate pair", Reason.LONE_SURROGATE)
            )

    def _texts(self, row: int) -> tuple[str, ...]:
        texts = [self._side(side, row) for side in self.sides]
        if len(texts) == 1:
            return texts[0]
        (prompt, chosen), (other, rejected) = texts
        if prompt != other:
            raise BadRecord("chosen and rejected answer different prompts")
        return prompt, chosen, rejected

    def _side(self, conversations: Conversations, row: int) -> tuple[str, ...]:
        renderer = self.renderer
        if conversations.reason[row]:
            raise BadRecord(conversations.detail(row), Reason(conversations.reason[row]))
        conversation = conversations.read(row)
        rule = renderer.span_rule
        bad = None if rule is None else weight_fault(conversation.messages, rule.roles)
        if bad is not None:
            raise bad
        cutover, compiler = renderer.cutover, renderer.compiler
        traced = compiler is not None and renderer.machine is None and renderer.span_rule is None
        if traced and (len(self.sides) > 1 or not conversations.plain[row]):
            if renderer.patience is EAGER or cutover.programs_pay():
                began = perf_counter()
                assert compiler is not None
                texts = self._evaluate(compiler, conversation, row)
                cutover.program_seconds += perf_counter() - began
                if texts is not None:
                    cutover.program_rows += 1
                    return texts
            else:
                renderer.fell_back(TOO_RARE.why, 1)
        texts, spans = renderer.jinja_rows.row(conversation)
        if renderer.span_rule is not None:
            self._note_spans({row: spans})
        renderer.counts.row_wise += 1
        return texts

    def _evaluate(self, compiler: Compiler, conversation: Conversation, row: int) -> tuple[str, ...] | None:
        """The texts of a row by its program, run in Python; None where it has none."""
        renderer = self.renderer
        result, lookup = compiler.other(conversation)
        if isinstance(result, Fallback):
            renderer.fell_back(result.why, 1)
        if not isinstance(result, Compiled):
            return None
        texts = tuple("".join([evaluate(part, lookup) for part in parts]) for parts in result.fields)
        renderer.guard.evaluated(result, texts, conversation)
        renderer.counts.evaluated += 1
        return texts

    def bound(self) -> Bound:
        renderer, conversations = self.renderer, self.conversations
        for program in self.program.values():
            program[conversations.reason != GOOD] = -1
        bound = Bound(
            programs=renderer.programs,
            program=self.program,
            columns=self._columns(),
            reason=conversations.reason,
            make_texts=self._contents,
            message_columns=frozenset(renderer._message_columns),
            whole_texts=renderer.whole_texts,
            first=conversations.first,
            detail=conversations.detail,
        )
        prompt, *answers = renderer.texts
        fields = [renderer.texts] if len(self.sides) == 1 else [(prompt, answer) for answer in answers]
        renderer.guard.check(bound, list(zip(self.sides, fields, strict=True)), self.engine)
        return bound

    def _columns(self) -> dict[str, Spans]:
        """Every column that any program so far names: a table of all programs fits every chunk."""
        n = len(self.conversations)
        columns = {name: empty_spans(0) for name in self.renderer._message_columns}
        columns |= {name: empty_spans(n) for name in self.renderer._row_columns}
        columns |= self.columns.spans() | self.columns.row_spans()
        if SPANS in self.program:
            columns[own(SPANS)] = sparse_spans(self.spans, n, layout.JSON, layout.NULL)
        for number, name in enumerate(self.renderer.texts):
            rendered = {row: texts[number] for row, texts in self.rendered.items()}
            columns[own(f"rendered {name}")] = sparse_spans(rendered, n)
            columns[own(f"machine's {name}")] = self.machine_texts.get(name, empty_spans(n))
        return columns

    def _contents(self) -> dict[str, Spans]:
        renderer = self.renderer
        return texts_by_role(self.sides, renderer.contents, renderer.answers, self.engine)
