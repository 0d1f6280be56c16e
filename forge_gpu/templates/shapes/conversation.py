"""Records with a list of messages."""

from __future__ import annotations

from forge_gpu.config.schema import Mapping
from forge_gpu.templates.conversations import ListShape, Shape
from forge_gpu.templates.roles import role_aliases
from forge_gpu.templates.shapes.base import TEXT, Columns, Recognised, RecordShape


class ConversationRecords(RecordShape):
    name = "conversation"
    needs = ("messages",)
    telling = ("messages", "tools")
    answers = ("response",)
    in_columns = False

    def sides(self, mapping: Mapping) -> tuple[Shape, ...]:
        aliases = role_aliases(mapping.roles)
        return (ListShape(mapping.messages or "", aliases, mapping.roles, mapping.system, mapping.tools),)

    def recognise(self, columns: Columns) -> Recognised | None:
        messages = columns.find_messages()
        if not messages:
            return None
        tools = columns.find("tools", frozenset({"list", "object", "text"}))
        keys = {"messages": messages, "system": columns.find("system", TEXT), "tools": tools}
        return Recognised("each record is a list of messages", keys)
