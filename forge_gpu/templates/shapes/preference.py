"""Pairs: a better and a worse answer to one prompt."""

from __future__ import annotations

from collections.abc import Collection

from forge_gpu.config.schema import Mapping
from forge_gpu.templates.conversations import Shape
from forge_gpu.templates.preference import PairShape
from forge_gpu.templates.roles import role_aliases, role_names
from forge_gpu.templates.shapes.base import TEXT, Columns, Recognised, RecordShape

SIDES = frozenset({"text", "message", "messages"})


class PreferencePairs(RecordShape):
    name = "preference"
    needs = ("chosen", "rejected")
    telling = ("chosen", "rejected")
    answers = ("chosen", "rejected")
    in_columns = False

    def sides(self, mapping: Mapping, own: Collection[str] = ()) -> tuple[Shape, ...]:
        shared = mapping.model_dump(include={"query", "input", "messages", "system", "tools"})
        aliases = role_aliases(mapping.roles)
        roles = role_names(mapping.roles, own)
        columns = (mapping.chosen or "", mapping.rejected or "")
        return tuple(PairShape(column, aliases, roles, **shared) for column in columns)

    def recognise(self, columns: Columns) -> Recognised | None:
        chosen, rejected = columns.find("chosen", SIDES), columns.find("rejected", SIDES)
        if not chosen or not rejected:
            return None
        messages = columns.find_messages((chosen, rejected))
        query = None if messages else columns.find("query", TEXT, (chosen, rejected))
        why = "a better and a worse answer in each record"
        if not (messages or query):
            why += "; both hold the whole conversation"
        keys = {"query": query, "messages": messages, "system": columns.find("system", TEXT)}
        return Recognised(why, {**keys, "chosen": chosen, "rejected": rejected})
