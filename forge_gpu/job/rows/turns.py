"""A conversation becomes a row for each turn of the assistant, so that each is rendered as at inference:
the messages before it, and itself at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.fates import Fate
from forge_gpu.job.rows.expansion import Expanded, Expansion
from forge_gpu.job.rows.message_list import column_of, list_of
from forge_gpu.kernels.layout import Records, Spans
from forge_gpu.templates.turns.trained import is_trained


def turns_of(config: Config, engine: Engine, records: Records) -> Expanded:
    """A row without a turn that is trained, or whose messages cannot be read, stays as it is."""
    name = config.data.mapping.messages or ""
    column = records.columns[name]
    source: list[int] = []
    texts: list[bytes | None] = []
    for row in range(len(records)):
        made = list(_turns(column, row, config))
        source += [row] * max(len(made), 1)
        texts += made or [None]
    rows = np.array(source, np.int64)
    return Expanded(rows, {name: column_of(column, rows, texts)})


def _turns(column: Spans, row: int, config: Config) -> Iterator[bytes]:
    spelled = list_of(column, row, config.data.mapping)
    if spelled is None:
        return
    roles, last = frozenset(config.output.trained_roles), len(spelled.messages) - 1
    for number, message in enumerate(spelled.messages):
        if message["role"] == "assistant" and is_trained(message, roles):
            yield spelled.text.encode() if number == last else spelled.without(number + 1, last + 1)


def _required(config: Config) -> bool:
    return config.output.turns == "each"


def _inputs(config: Config) -> Sequence[str]:
    return (config.data.mapping.messages or "",)


TURNS = Expansion("turns", _required, turns_of, Fate.REJECTED, _inputs)
