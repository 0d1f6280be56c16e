"""Records with a list of messages."""

from __future__ import annotations

from collections.abc import Collection

from forge_gpu.config.schema import Mapping
from forge_gpu.templates.conversations import ListShape, Shape
from forge_gpu.templates.roles import role_aliases, role_names
from forge_gpu.templates.shapes.base import TEXT, Columns, Recognised, RecordShape

TOOLS = frozenset({"list", "object", "text", "texts", "calls", "turns", "choices"})


class ConversationRecords(RecordShape):
    name = "conversation"
    needs = ("messages",)
    telling = ("messages", "tools")
    answers = ("response",)
    in_columns = False

    def sides(self, mapping: Mapping, own: Collection[str] = ()) -> tuple[Shape, ...]:
        aliases = role_aliases(mapping.roles)
        roles = role_names(mapping.roles, own)
        return (ListShape(mapping.messages or "", aliases, roles, mapping.system, mapping.tools),)

    def recognise(self, columns: Columns) -> Recognised | None:
        messages = columns.find_messages()
        if not messages:
            return None
        tools = columns.find("tools", TOOLS)
        keys = {"messages": messages, "system": columns.find("system", TEXT), "tools": tools}
        return Recognised("each record is a list of messages", keys)
