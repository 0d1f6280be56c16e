"""Rows by what they have in some columns, as one number a row: strata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import U64, Spans
from forge_gpu.records.identity import identity_of
from forge_gpu.templates.lines import column_key
from forge_gpu.templates.program import pack


def hashes_of(engine: Engine, columns: Mapping[str, Spans], names: Sequence[str]) -> U64:
    """The hash of each row's value in one column, or of its values in several: uint64[n]."""
    columns = {name: identity_of(columns[name]) for name in names}
    if len(names) == 1:
        return engine.hash64(engine.text(columns[names[0]]), 0).copy()
    table = pack([column_key(names)])
    spans = [columns[name] for name in table.columns]
    rows = np.arange(len(spans[0]))
    texts = engine.render(table, np.zeros(len(rows), np.int32), spans, rows, layout.AS_JSON)
    return engine.hash64(texts, 0).copy()
