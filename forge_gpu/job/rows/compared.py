"""What of a row is compared with other rows: its contents by role, never the rendered text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forge_gpu.errors import ConfigError
from forge_gpu.job.rows.rows import Rows
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, ProgramTable, Text
from forge_gpu.templates.program import LiteralIfText, Part, Slot, pack

STANDS_FOR = {
    "query": ("query", "input"),  # as a template takes them: the input follows the query
    "response": ("response", "chosen", "rejected", "text"),
}
"""A role as the plan names it -> the contents it means, of those that the records have."""


class ComparedText:
    """The contents of some roles, joined by newlines. key: of the plan, for messages."""

    def __init__(self, roles: Sequence[str], key: str) -> None:
        self._roles = tuple(dict.fromkeys(name for role in roles for name in STANDS_FOR.get(role, (role,))))
        self._key = key
        self._table: ProgramTable | None = None

    def of(self, rows: Rows, chosen: I64) -> Text:
        """The texts of the chosen rows, in a buffer of the engine. Raises ConfigError."""
        contents = rows.bound.texts
        table = self._table = self._table or self._pack(tuple(contents))
        program = np.zeros(len(rows), np.int32)
        columns = [contents[name] for name in table.columns]
        return rows.engine.render(table, program, columns, chosen, layout.AS_TEXT)

    def _pack(self, present: Sequence[str]) -> ProgramTable:
        names = [name for name in self._roles if name in present]
        if not names:
            raise ConfigError(
                f"{self._key}: the rows have no {' or '.join(self._roles)}; they have {', '.join(present)}"
            )
        parts: list[Part] = [Slot(names[0])]
        for name in names[1:]:
            parts += [LiteralIfText(b"\n", name), Slot(name)]
        return pack([tuple(parts)])


def joined(texts: Sequence[Text]) -> Text:
    """Texts one after the other, as one; a copy."""
    lengths = [np.diff(text.offsets) for text in texts]
    offsets = np.concatenate(([0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]))))
    data = np.zeros(int(offsets[-1]) + layout.PADDING, np.uint8)
    at = 0
    for text in texts:
        size = int(text.offsets[-1] - text.offsets[0])
        data[at : at + size] = text.data[text.offsets[0] : text.offsets[-1]]
        at += size
    return Text(data, offsets.astype(np.int64))
