"""Prompts without answers, for online training: a question, or messages that nobody has answered."""

from __future__ import annotations

from collections.abc import Collection

from forge_gpu.config.schema import Mapping
from forge_gpu.errors import ConfigError
from forge_gpu.templates.conversations import FlatShape, PromptList, Shape
from forge_gpu.templates.roles import role_aliases, role_names
from forge_gpu.templates.shapes.base import TEXT, Columns, Recognised, RecordShape
from forge_gpu.templates.shapes.conversation import TOOLS


class PromptRecords(RecordShape):
    name = "prompt"
    has_turns = True
    in_columns = False
    roles = ("query", "input", "system")

    def require(self, mapping: Mapping) -> None:
        if mapping.query is None and mapping.messages is None:
            raise ConfigError(
                "data.mapping.query or data.mapping.messages must name a column of the data for the shape "
                f"{self.name!r}"
            )

    def sides(self, mapping: Mapping, own: Collection[str] = ()) -> tuple[Shape, ...]:
        if mapping.messages is None:
            return (FlatShape(mapping.query or "", None, mapping.input, mapping.system),)
        aliases, roles = role_aliases(mapping.roles), role_names(mapping.roles, own)
        return (PromptList(mapping.messages, aliases, roles, mapping.system, mapping.tools),)

    def recognise(self, columns: Columns) -> Recognised | None:
        """Where nobody asks for the shape, only what has no answer anywhere is taken for it."""
        is_asked = columns.given("shape") == self.name
        system = columns.find("system", TEXT)
        messages = columns.given("messages") or (None if columns.given("query") else columns.find_messages())
        if messages:
            if not (is_asked or columns.are_prompts(messages)):
                return None
            keys = {"messages": messages, "system": system, "tools": columns.find("tools", TOOLS)}
            return Recognised("nobody has answered the messages: they are prompts", keys)
        query = columns.find("query", TEXT)
        extra = columns.find("input", TEXT | {"empty"}, (query,))
        if not query or not (is_asked or columns.stand_alone((query, extra, system))):
            return None
        return Recognised(
            "each record is a question without an answer", {"query": query, "input": extra, "system": system}
        )
