"""The tokens of rows, and the columns of the output that are made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import orjson

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.engine.marked import Unmarked
from forge_gpu.io.sinks.token_columns import ATTENTION, IDS, IGNORED, LABELS, LENGTHS
from forge_gpu.job.rows.answers import apart, lists_apart, longest_text, pairs
from forge_gpu.job.rows.by_library import ComparedRows
from forge_gpu.job.rows.by_reference import require_as_reference, shortest
from forge_gpu.job.rows.list_rows import ListRows
from forge_gpu.job.rows.origins import RowOrigins
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.thinking import without_thinking
from forge_gpu.job.rows.tokenizers import min_trained
from forge_gpu.job.state.token_table import nothing
from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.token_rows import as_json, bytes_of_characters
from forge_gpu.kernels.layout import I32, I64, U8, Spans, Text, spans_of_offsets
from forge_gpu.kernels.token_layout import Runs
from forge_gpu.plain import frozen
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.forms.tokens import answers_of, prompt_alone
from forge_gpu.templates.lines import Composer
from forge_gpu.templates.marks import marked, trained
from forge_gpu.templates.program import Program
from forge_gpu.templates.renderer import Renderer, own, scattered
from forge_gpu.tokens.tokenizer import U32, Tokenizer, TokenizerPlan, Tokens

if TYPE_CHECKING:
    from forge_gpu.templates.origins import Span

SPANS = "spans"
KEY_TEXT, KEY_SPANS = own("key's text"), own("key's spans")
"""Columns that a dedup key is made of."""
Bools = npt.NDArray[np.bool_]
_AS_LONG_AS_IT_IS = 2**62
"""Where a range ends that goes to the end of a row's text."""


@frozen
class Taught:
    """rows: int64[n], numbers of rows of a chunk; their texts, and what the assistant wrote of these, in
    bytes of all texts."""

    rows: I64
    texts: Text
    spans: Runs


@frozen
class EncodedRows:
    """Some rows of a chunk. chosen: int64[n], their numbers. The others: as they were encoded; of a pair the
    texts with the chosen answer, and the tokens of both."""

    chosen: I64
    texts: Text
    literals: Runs
    trained: Runs
    tokens: Tokens


def table_of(rows: int, chosen: I64, tokens: Tokens, spooled: Bools | None = None) -> np.ndarray:
    """What is noted of the rows of a chunk: ROW[rows]. tokens: of the chosen ones. spooled: bool[n], of
    which of these the ids are noted as well, one behind the other; None: of none."""
    table, size = nothing(rows), np.diff(tokens.offsets)
    table["tokens"][chosen], table["trained"][chosen] = size, tokens.trained
    table["longest"][chosen] = longest_text(tokens)
    table["straddling"][chosen], table["control_text"][chosen] = tokens.straddling, tokens.guarded
    if spooled is not None:
        own = size[spooled]
        table["at"][chosen[spooled]] = np.cumsum(own) - own
    return table


class RowEncoder:
    """Belongs to one workspace. names: of the columns that it makes, with the field of the output that each
    is."""

    def __init__(self, config: Config, engine: Engine, plan: TokenizerPlan, renderer: Renderer) -> None:
        self._config, self._engine = config, engine
        self.origins = RowOrigins(config, renderer, plan)
        self._tokenizer = Tokenizer(plan)
        self.names = {own(field.name): field.name for field in form_of(config).fields(config)}
        rendered = [field.name for field in form_of(config).rendered(config)]
        self._has_spans = SPANS in rendered
        self._whole_texts: frozenset[str] = frozenset()
        self._answers = answers_of(config)
        texts = [["prompt", answer] for answer in self._answers]
        self._prompt_alone = prompt_alone(config)
        whole = ["prompt"] if self._prompt_alone else [name for name in rendered if name != SPANS]
        texts = texts or [whole]
        self._composers = [Composer(names, self._compose) for names in texts]
        """One for each text that a row stands for: of pairs two."""
        self._compared = [ComparedRows() for _ in texts]

    @property
    def sides(self) -> range:
        return range(len(self._composers))

    def taught(self, rows: Rows, side: int = 0) -> Taught:
        """The texts of the rows that can be rendered, made once for all that ask."""

        def make() -> Taught:
            live = rows.live
            made, _ = self._rendered(rows, live, side)
            return Taught(live, made.texts, self._spans(rows, live, made.texts, made.trained))

        return rows.once(f"taught {side}", make)

    def encode(self, rows: Rows, chosen: I64) -> EncodedRows:
        """Raises ValidationError where bytes or ids are not what they should be."""
        first, *others = [self._encode(rows, chosen, side) for side in self.sides]
        if others:
            return replace(first, tokens=pairs(first.tokens, others[0].tokens))
        return replace(first, tokens=apart(first.tokens)) if self._answers else first

    def _encode(self, rows: Rows, chosen: I64, side: int) -> EncodedRows:
        rendered, program = self._rendered(rows, chosen, side, check=True)
        texts, literals, marked_spans, unknown = rendered
        own_tokens = self.origins.own_tokens(rows, chosen, texts, unknown, side) if unknown.any() else {}
        literals = _with_unknown(texts, literals, unknown, own_tokens)
        spans = self._trained(Taught(chosen, texts, self._spans(rows, chosen, texts, marked_spans)))
        tokens = self._tokenizer.encode(texts, literals, spans)
        self._tokenizer.check(texts, tokens, self._compared[side].choose(program, tokens.guarded))
        return EncodedRows(chosen, texts, literals, spans, tokens)

    def bytes_of(self, identity: int) -> bytes:
        """What an id stands for."""
        return self._tokenizer.bytes_of(identity)

    def of_unknown_origin(self, rows: Rows) -> I64:
        """Rows of which it cannot be told which control tokens the template wrote."""

        def of_side(side: int) -> I64:
            return self.origins.unknown_rows(
                rows, lambda some: self._rendered(rows, some, side)[0].texts, side
            )

        return reduce(np.union1d, map(of_side, self.sides))

    def without_training(self, rows: Rows, chosen: I64) -> I64:
        """Those of the chosen rows of which nothing would be trained."""
        tokens = self._config.tokens
        if (tokens.train == "all" and tokens.thinking) or not min_trained(self._config):
            return chosen[:0]
        every = [self.taught(rows, side) for side in self.sides]
        without = [each.rows[np.diff(self._trained(each).offsets) == 0] for each in every]
        return np.intersect1d(chosen, reduce(np.union1d, without))

    def without_text(self, rows: Rows, chosen: I64) -> I64:
        """Those of the chosen rows of which a template writes nothing, where it is one text."""
        taught = self.taught(rows)
        return (
            np.intersect1d(chosen, taught.rows[np.diff(taught.texts.offsets) == 0])
            if self._has_spans
            else chosen[:0]
        )

    def key_columns(self, rows: Rows) -> Mapping[str, Spans]:
        """What makes two rows duplicates: the text, and what of it is trained; the same whoever rendered a
        row."""
        taught = self.taught(rows)
        texts, spans = taught.texts, taught.spans
        begins = np.repeat(texts.offsets[:-1], np.diff(spans.offsets))
        pairs = np.stack((spans.start - begins, spans.stop - begins), axis=1).reshape(-1).astype(np.int32)
        return {
            KEY_TEXT: scattered(spans_of_offsets(texts.data, texts.offsets), taught.rows, len(rows)),
            KEY_SPANS: scattered(as_column(as_json(pairs, 2 * spans.offsets)), taught.rows, len(rows)),
        }

    def _compose(self, programs: Sequence[Program]) -> Program:
        if len(programs) == 1:
            return marked(programs[0], self._whole_texts)
        prompt, completion = (marked(program, self._whole_texts) for program in programs)
        return (*prompt, *trained(completion))

    def _rendered(self, rows: Rows, chosen: I64, side: int, check: bool = False) -> tuple[Unmarked, I32]:
        """(the texts and what was marked in them, what program wrote each). check: compare one with the
        reference."""
        self._whole_texts = rows.bound.whole_texts
        table, program = self._composers[side].table(rows.bound)
        columns = [rows.column(name) for name in table.columns]
        short = shortest(rows, chosen) if check else chosen[:0]
        if len(short):
            first = rows.bound.first
            require_as_reference(self._engine, table, program, columns, first, short, layout.AS_TEXT)
        text = self._engine.render(table, program, columns, chosen, layout.AS_TEXT, rows.bound.first)
        return self._engine.unmark(text), program[chosen]

    def _spans(self, rows: Rows, chosen: I64, texts: Text, marked_spans: Runs) -> Runs:
        """What the assistant wrote, in bytes of the texts: as a row's list says it, or its marks do."""
        if not self._has_spans or not (rows.bound.columns[own(SPANS)].kind == layout.JSON).any():
            return marked_spans
        listed = bytes_of_characters(texts, _without_empty(self._listed_spans(rows, chosen)))
        return _either(listed, marked_spans)

    def _listed_spans(self, rows: Rows, chosen: I64) -> Runs:
        """What the assistant wrote, in characters of each text, as the renderer tells it."""
        column = rows.bound.columns[own(SPANS)]
        values = [column.raw(row) if column.kind[row] == layout.JSON else b"[]" for row in chosen.tolist()]
        lists = orjson.loads(b"[" + b",".join(values) + b"]")
        offsets = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(each) for each in lists], out=offsets[1:])
        pairs = np.array([pair for each in lists for pair in each], np.int64).reshape(-1, 2)
        return Runs(offsets, np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]))

    def _trained(self, taught: Taught) -> Runs:
        """What is trained, as `tokens.train` and `tokens.thinking` say."""
        chosen = self._chosen(taught.texts, taught.spans)
        return chosen if self._config.tokens.thinking else without_thinking(taught.texts, chosen)

    def _chosen(self, texts: Text, spans: Runs) -> Runs:
        """What `tokens.train` says."""
        train = self._config.tokens.train
        rows = np.arange(len(texts) + 1)
        if train == "all":
            return Runs(rows, texts.offsets[:-1].copy(), texts.offsets[1:].copy())
        if train == "assistant":
            return spans
        has = np.diff(spans.offsets) > 0
        last = spans.offsets[1:][has] - 1
        stop = texts.offsets[1:][has] if train == "completion" else spans.stop[last]
        offsets = np.concatenate(([0], np.cumsum(has)))
        return Runs(offsets, spans.start[last], stop)

    def columns(self, chosen: I64, lists: ListRows, rows: int) -> Mapping[str, Spans]:
        """The lists of some of the rows of a chunk as columns, ABSENT of others."""
        return {
            own(name): scattered(as_column(as_json(*column)), chosen, rows)
            for name, column in lists.columns.items()
        }

    def lists(self, ids: U32, weights: U8, offsets: I64) -> ListRows:
        """What is written of tokens. ids: uint32[t]; weights: uint8[t]; offsets: int64[n + 1]."""
        if self._answers or self._prompt_alone:
            return ListRows(lists_apart(ids, weights, offsets, list(self.names.values())))
        numbers = ids.view(np.int32)
        values = {
            IDS: (numbers, offsets),
            LABELS: (np.where(weights != 0, numbers, np.int32(IGNORED)), offsets),
            ATTENTION: (np.ones(len(ids), np.int32), offsets),
            LENGTHS: (np.diff(offsets).astype(np.int32), np.arange(len(offsets))),
        }
        return ListRows({name: values[name] for name in self.names.values()})


def as_column(lists: Text) -> Spans:
    """Texts of JSON as a column."""
    made = spans_of_offsets(lists.data, lists.offsets)
    return Spans(made.data, made.start, made.length, np.full(len(made), layout.JSON, np.uint8))


def _without_empty(runs: Runs) -> Runs:
    full = runs.stop > runs.start
    before = np.concatenate(([0], np.cumsum(full)))
    return Runs(before[runs.offsets], runs.start[full], runs.stop[full])


def _either(one: Runs, other: Runs) -> Runs:
    """The ranges of each row, of which but one has any."""
    if not len(other.start):
        return one
    counts = np.diff(one.offsets) + np.diff(other.offsets)
    is_of_one = np.repeat(np.diff(one.offsets) > 0, counts)
    start, stop = np.empty((2, len(is_of_one)), np.int64)
    start[is_of_one], stop[is_of_one] = one.start, one.stop
    start[~is_of_one], stop[~is_of_one] = other.start, other.stop
    return Runs(np.concatenate(([0], np.cumsum(counts))), start, stop)


def _with_unknown(texts: Text, literals: Runs, unknown: U8, own_tokens: Mapping[int, list[Span]]) -> Runs:
    """Rows whose literals are not told apart: those of `own_tokens` have the ranges that it says, in
    characters; the others count as literals as a whole."""
    rows = np.flatnonzero(unknown)
    if not len(rows):
        return literals
    ranges = {row: own_tokens.get(row, [(0, _AS_LONG_AS_IT_IS)]) for row in rows.tolist()}
    counts = np.diff(literals.offsets)
    counts[rows] = [len(ranges[row]) for row in rows.tolist()]
    offsets = np.concatenate(([0], np.cumsum(counts)))
    bounds = np.array([pair for row in rows.tolist() for pair in ranges[row]], np.int64).reshape(-1, 2)
    bounded = bytes_of_characters(
        texts,
        Runs(
            np.concatenate(([0], np.cumsum(np.where(unknown != 0, counts, 0)))),
            np.ascontiguousarray(bounds[:, 0]),
            np.ascontiguousarray(bounds[:, 1]),
        ),
    )
    start, stop = np.empty(offsets[-1], np.int64), np.empty(offsets[-1], np.int64)
    stays = np.repeat(unknown == 0, counts)
    known = np.repeat(unknown == 0, np.diff(literals.offsets))
    start[stays], stop[stays] = literals.start[known], literals.stop[known]
    start[~stays], stop[~stays] = bounded.start, bounded.stop
    return Runs(offsets, start, stop)
