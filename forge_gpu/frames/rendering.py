"""One block of a frame through a template: its texts, and why rows have none."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.lazy import LazyText, text_over
from forge_gpu.fates import Reason
from forge_gpu.fates import name as spelled
from forge_gpu.frames.base import Bools
from forge_gpu.frames.blocks import Columns, records_of
from forge_gpu.frames.json_text import lists_as_json
from forge_gpu.frames.workers import Worker
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import PADDING, U8, Text
from forge_gpu.templates.choose import make_renderer
from forge_gpu.templates.lines import Composer
from forge_gpu.templates.renderer import Bound, Renderer, plain_spans


@dataclass(frozen=True)
class Recipe:
    """What renders a frame. key: all that it hangs on. columns: those that it reads."""

    key: Hashable
    config: Config
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Rendered:
    """One block: its texts, empty where a row is refused; why rows are; and a line on each of those."""

    text: Text
    reason: U8
    detail: Callable[[int], str]


@dataclass(frozen=True)
class Prepared:
    """A template as one worker runs it: it learns programs as rows come, and retains them."""

    renderer: Renderer
    composer: Composer


def prepared(recipe: Recipe, worker: Worker) -> Prepared:
    return worker.made(
        recipe.key, lambda: Prepared(make_renderer(recipe.config), Composer(("text",), lambda few: few[0]))
    )


def bind(recipe: Recipe, worker: Worker, columns: Columns) -> Bound:
    records = records_of(worker.engine, columns)
    mapping = recipe.config.data.mapping
    if mapping.shape == "conversation" and mapping.messages in records.columns:
        records.columns[mapping.messages] = lists_as_json(records.columns[mapping.messages], worker.engine)
    return prepared(recipe, worker).renderer.bind(records, worker.engine)


def render(recipe: Recipe, worker: Worker, columns: Columns) -> Rendered:
    """A text on the host is in memory of its own; one on a device is valid until the worker's next block."""
    bound = bind(recipe, worker, columns)
    reason = bound.reason.copy()
    chosen = np.flatnonzero(reason == Reason.NONE)
    lengths = np.zeros(len(reason), np.int64)
    text = Text(np.zeros(PADDING, np.uint8), np.zeros(1, np.int64))
    if len(chosen):
        table, program = prepared(recipe, worker).composer.table(bound)
        spans = [bound.columns[name] for name in table.columns]
        text = worker.engine.render(table, program, spans, chosen, layout.AS_TEXT, bound.first)
        lengths[chosen] = np.diff(text.offsets)
        reason[chosen[lengths[chosen] == 0]] = Reason.EMPTY_TEXT
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return Rendered(_own(text_over(text, offsets)), reason, bound.detail)


def _own(text: Text) -> Text:
    """A copy of what the engine writes the next block over."""
    return (
        text if isinstance(text, LazyText) else Text(text.data[: int(text.offsets[-1])].copy(), text.offsets)
    )


def texts(recipe: Recipe, worker: Worker, columns: Columns) -> tuple[Text, Bools]:
    """The texts, and which rows have one."""
    block = render(recipe, worker, columns)
    return block.text, block.reason == 0


def reasons(recipe: Recipe, worker: Worker, columns: Columns) -> tuple[Text, Bools]:
    """The reasons as texts, and which rows have one."""
    block = render(recipe, worker, columns)
    lines: list[bytes | None] = [None] * len(block.reason)
    for row in np.flatnonzero(block.reason).tolist():
        detail = block.detail(row)
        lines[row] = (spelled(Reason(int(block.reason[row]))) + (detail and f": {detail}")).encode()
    spans = plain_spans(lines)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(spans.length)])
    return Text(spans.data, offsets), block.reason != 0
