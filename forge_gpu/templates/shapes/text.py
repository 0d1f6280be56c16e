"""Records that are one text each, without turns."""

from __future__ import annotations

from forge_gpu.templates.shapes.base import TEXT, Columns, Recognised, RecordShape


class TextRecords(RecordShape):
    name = "text"
    needs = ("text",)
    telling = ("text",)
    has_turns = False
    only_text = True
    roles = ("text",)

    def recognise(self, columns: Columns) -> Recognised | None:
        text = columns.find("text", TEXT)
        return Recognised("each record is one text", {"text": text}) if text else None
