"""What stands in a column, counted over chunks."""

from __future__ import annotations

from collections import Counter

import numpy as np

from forge_gpu.audit.quality_report import ColumnReport
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Spans

KINDS = {ord("["): "list", ord("{"): "object", ord("t"): "bool", ord("f"): "bool"}
"""The first byte of a JSON value -> what it is; all else is a number."""


class ColumnCounts:
    def __init__(self, name: str) -> None:
        self.name = name
        self._present = self._null = self._bytes = self._longest = 0
        self._kinds: Counter[str] = Counter()

    def add(self, column: Spans) -> None:
        kind, length = column.kind, column.length
        self._present += int(np.count_nonzero(kind != layout.ABSENT))
        self._null += int(np.count_nonzero(kind == layout.NULL))
        texts = length[(kind >= layout.PLAIN) & (kind != layout.JSON)]
        self._kinds["text"] += int(np.count_nonzero(texts))
        self._kinds["empty"] += int(np.count_nonzero(texts == 0))
        self._bytes += int(texts.sum())
        self._longest = max(self._longest, int(texts.max(initial=0)))
        first = column.data[column.start[kind == layout.JSON]]
        values, counts = np.unique(first, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            self._kinds[KINDS.get(value, "number")] += count

    @property
    def report(self) -> ColumnReport:
        texts = self._kinds["text"] + self._kinds["empty"]
        kinds = {kind: count for kind, count in self._kinds.most_common() if count}
        mean = round(self._bytes / texts, 1) if texts else 0.0
        return ColumnReport(self.name, self._present, self._null, kinds, mean, self._longest)
