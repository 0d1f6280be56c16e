"""One block of a frame through a template: its texts, and why rows have none."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.lazy import LazyText, text_over
from forge_gpu.errors import ConfigError
from forge_gpu.fates import Reason
from forge_gpu.fates import name as spelled
from forge_gpu.frames.base import Bools
from forge_gpu.frames.blocks import Columns, records_of
from forge_gpu.frames.json_text import lists_as_json
from forge_gpu.frames.workers import Worker
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, PADDING, U8, Text
from forge_gpu.plain import frozen
from forge_gpu.templates.choose import make_renderer
from forge_gpu.templates.lines import Composer
from forge_gpu.templates.renderer import Bound, Renderer, plain_spans

SPANS = "spans"
NULL_BYTES = len("null")
"""Of spans that are not known; no list of spans is as long."""


@frozen
class Recipe:
    """What renders a frame. key: all that it hangs on. columns: those that it reads."""

    key: Hashable
    config: Config
    columns: tuple[str, ...]


@frozen
class Rendered:
    """One block: the texts of each field, empty where a row is refused; why rows are, and a line on each."""

    fields: dict[str, Text]
    reason: U8
    detail: Callable[[int], str]


@frozen
class Prepared:
    """A template as one worker runs it: it learns programs as rows come, and retains them."""

    renderer: Renderer
    composers: dict[str, Composer]


def prepared(recipe: Recipe, worker: Worker) -> Prepared:
    def make() -> Prepared:
        renderer = make_renderer(recipe.config)
        if recipe.config.output.spans and SPANS not in renderer.fields:
            raise ConfigError("spans need a chat template: no other says what the assistant wrote")
        return Prepared(renderer, {name: Composer((name,), lambda few: few[0]) for name in renderer.fields})

    return worker.made(recipe.key, make)


def bind(recipe: Recipe, worker: Worker, columns: Columns) -> Bound:
    records = records_of(worker.engine, columns)
    mapping = recipe.config.data.mapping
    if mapping.shape == "conversation" and mapping.messages in records.columns:
        records.columns[mapping.messages] = lists_as_json(records.columns[mapping.messages], worker.engine)
    return prepared(recipe, worker).renderer.bind(records, worker.engine)


def render(recipe: Recipe, worker: Worker, columns: Columns) -> Rendered:
    """Texts on the host are in memory of their own; a single one may lie on a device, and is valid until the
    worker's next block."""
    bound = bind(recipe, worker, columns)
    reason = bound.reason.copy()
    chosen = np.flatnonzero(reason == Reason.NONE)
    parts = prepared(recipe, worker)
    fields = {}
    for name, composer in parts.composers.items():
        encoding = layout.AS_JSON if name in parts.renderer.json_fields else layout.AS_TEXT
        text = _field(worker, bound, composer, chosen, encoding)
        can_stay = len(parts.composers) == 1 and isinstance(text, LazyText)
        fields[name] = text if can_stay or not len(chosen) else worker.engine.own(text)
    if recipe.config.output.form == "text":
        empty = np.diff(fields["text"].offsets)[chosen] == 0
        reason[chosen[empty]] = Reason.EMPTY_TEXT
    return Rendered(fields, reason, bound.detail)


def _field(worker: Worker, bound: Bound, composer: Composer, chosen: I64, encoding: int) -> Text:
    """One field of the chosen rows, with the others empty."""
    lengths = np.zeros(len(bound.reason), np.int64)
    text = Text(np.zeros(PADDING, np.uint8), np.zeros(1, np.int64))
    if len(chosen):
        table, program = composer.table(bound)
        spans = [bound.columns[name] for name in table.columns]
        text = worker.engine.render(table, program, spans, chosen, encoding, bound.first)
        lengths[chosen] = np.diff(text.offsets)
    return text_over(text, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))


Pieces = dict[str, tuple[Text, Bools]]


def texts(recipe: Recipe, worker: Worker, columns: Columns) -> Pieces:
    """The texts of each field, and which rows have one."""
    block = render(recipe, worker, columns)
    good = block.reason == 0
    return {
        name: (text, good & (np.diff(text.offsets) != NULL_BYTES) if name == SPANS else good)
        for name, text in block.fields.items()
    }


def reasons(recipe: Recipe, worker: Worker, columns: Columns) -> Pieces:
    """The reasons as texts, and which rows have one."""
    block = render(recipe, worker, columns)
    lines: list[bytes | None] = [None] * len(block.reason)
    for row in np.flatnonzero(block.reason).tolist():
        detail = block.detail(row)
        lines[row] = (spelled(Reason(int(block.reason[row]))) + (detail and f": {detail}")).encode()
    spans = plain_spans(lines)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(spans.length)])
    return {"reason": (Text(spans.data, offsets), block.reason != 0)}
