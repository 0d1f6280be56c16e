"""Records of any columns: a format string names those that it writes."""

from __future__ import annotations

from forge_gpu.templates.shapes.base import Columns, Recognised, RecordShape


class ColumnRecords(RecordShape):
    name = "columns"
    has_turns = False

    def recognise(self, columns: Columns) -> Recognised:
        return Recognised("the template names the columns itself", {})
