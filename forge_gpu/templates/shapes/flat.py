"""Records of one turn: a question and its answer, each in a column of its own."""

from __future__ import annotations

from collections.abc import Collection

from forge_gpu.config.schema import Mapping
from forge_gpu.templates.conversations import FlatShape, Shape
from forge_gpu.templates.shapes.base import SCALARS, TEXT, Columns, Recognised, RecordShape


class FlatRecords(RecordShape):
    name = "flat"
    needs = ("query", "response")
    telling = ("query", "response", "input")
    rather = "preference"  # a query with two answers
    answers = ("response",)

    def sides(self, mapping: Mapping, own: Collection[str] = ()) -> tuple[Shape, ...]:
        return (FlatShape(mapping.query or "", mapping.response, mapping.input, mapping.system),)

    def recognise(self, columns: Columns) -> Recognised | None:
        response = columns.find("response", SCALARS)
        query = columns.find("query", TEXT, (response, columns.given("input")))
        if not query or not response:
            return None
        extra = columns.find("input", TEXT | {"empty"}, (query, response))
        keys = {"query": query, "input": extra, "response": response, "system": columns.find("system", TEXT)}
        return Recognised("each record has a question and its answer", keys)
