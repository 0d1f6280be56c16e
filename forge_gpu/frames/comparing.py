"""One block of a frame as the texts that near-duplicates and contamination are judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from forge_gpu.engine.lazy import LazyText
from forge_gpu.errors import ConfigError
from forge_gpu.frames.blocks import Columns, records_of
from forge_gpu.frames.rendering import Recipe, bind
from forge_gpu.frames.workers import Worker
from forge_gpu.job.rows.compared import STANDS_FOR, joined
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, U64, Spans, Text
from forge_gpu.kernels.reference.minhash import Signing
from forge_gpu.templates.program import LiteralIfText, Part, Slot, pack

Made = TypeVar("Made")
Then = Callable[[Worker, Text], Made]
"""What becomes of a block's texts, which are in a buffer of the worker's engine."""


def of_roles(
    roles: Sequence[str], then: Then[Made], recipe: Recipe, worker: Worker, columns: Columns
) -> Made:
    """What becomes of the contents of some roles, joined by newlines, as `prepare` compares them; empty for
    rows that have none."""
    bound = bind(recipe, worker, columns)
    names = dict.fromkeys(name for role in roles for name in STANDS_FOR.get(role, (role,)))
    present = [name for name in names if name in bound.texts]
    if not present:
        there = ", ".join(bound.texts)
        raise ConfigError(f"the rows have no {' or '.join(names)}, only {there}: name columns instead")
    good = bound.reason == 0
    return then(worker, _joined(worker, {name: bound.texts[name].without(~good) for name in present}))


def of_columns(then: Then[Made], worker: Worker, columns: Columns) -> Made:
    """What becomes of the texts of all columns, joined by newlines; empty for rows with bytes that are not
    UTF-8."""
    return then(worker, _joined(worker, records_of(worker.engine, columns).columns))


def on_host(worker: Worker, text: Text) -> Text:
    """A text in memory of its own, on the host."""
    return joined([text])


def where_it_is(worker: Worker, text: Text) -> Text:
    """A text that is valid for good: where it was made, if that is on a device."""
    return text if isinstance(text, LazyText) else joined([text])


def signed(signing: Signing, worker: Worker, text: Text) -> tuple[U64, I64]:
    """The band hashes of the texts, which stay where they are, and their sizes."""
    return worker.engine.band_hashes(text, signing), np.diff(text.offsets)


def _joined(worker: Worker, columns: dict[str, Spans]) -> Text:
    names = list(columns)
    parts: list[Part] = [Slot(names[0])]
    for name in names[1:]:
        parts += [LiteralIfText(b"\n", name), Slot(name)]
    table = pack([tuple(parts)])
    spans = [columns[name] for name in table.columns]
    rows = np.arange(len(spans[0]))
    return worker.engine.render(table, np.zeros(len(rows), np.int32), spans, rows, layout.AS_TEXT)


def all_of(texts: Iterable[Text]) -> Text:
    """Blocks of texts as one."""
    empty = Text(np.zeros(layout.PADDING, np.uint8), np.zeros(1, np.int64))
    return joined([empty, *texts])
