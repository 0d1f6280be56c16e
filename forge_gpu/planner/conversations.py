"""The sampled records as conversations: who speaks, how often, and whether a template takes them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from forge_gpu.config import schema
from forge_gpu.errors import InputError
from forge_gpu.media.marks import kinds
from forge_gpu.plain import frozen, mutable
from forge_gpu.planner.columns import messages_in
from forge_gpu.planner.mapping import Picked
from forge_gpu.records.paths import value_at
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.final_message import REASONING
from forge_gpu.templates.records import BadRecord, text_of
from forge_gpu.templates.roles import ROLES, role_aliases
from forge_gpu.templates.shapes import shape_of
from forge_gpu.templates.values import ABSENT

MOST = 100


@mutable
class SampledConversations:
    """every: the conversations; records that are none are left out. The counts are of `every`."""

    every: list[Conversation] = field(default_factory=list)
    roles: Counter[str] = field(default_factory=Counter)
    several_turns: int = 0
    with_system: int = 0
    with_tools: int = 0
    with_parts: int = 0
    with_media: int = 0
    with_earlier_thinking: int = 0

    def __len__(self) -> int:
        return len(self.every)


def read_conversations(records: Sequence[dict[str, Any]], picked: Picked) -> SampledConversations:
    """Up to MOST of the records, evenly taken, as the conversations that their shape makes of them.

    Raises InputError where most messages come from a role that is not known.
    """
    sampled = SampledConversations()
    mapping = schema.Mapping.model_construct(**picked.values)
    step = max(1, len(records) // MOST)
    taken = records[::step][:MOST]
    side = shape_of(mapping).sides(mapping)[0]  # of a pair, the better answer
    _refuse_unknown_roles(taken, mapping)
    for record in taken:
        held = SampledRecord(record)
        if any(held.value(column) in (None, ABSENT) for column in side.needed):
            continue  # plan says of the column in how many records it lacks
        try:
            _count(sampled, side.conversation(held))
        except BadRecord:
            continue  # the trial of the sample says why
    return sampled


@frozen
class SampledRecord:
    """A record of a sample, as `templates.conversations.Record`."""

    values: Mapping[str, Any]

    def value(self, column: str) -> Any:
        return value_at(self.values, column)

    def text(self, column: str) -> str:
        value = value_at(self.values, column)
        if value is None or value is ABSENT:
            return ""
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _count(sampled: SampledConversations, conversation: Conversation) -> None:
    messages, tools = conversation.messages, conversation.tools
    roles = [str(message["role"]) for message in messages]
    sampled.every.append(conversation)
    sampled.roles.update(roles)
    sampled.several_turns += roles.count("user") > 1
    sampled.with_system += "system" in roles and bool(text_of(messages[0].get("content")))
    sampled.with_tools += bool(tools is not ABSENT and tools) or "tool" in roles
    types = {each for marks in kinds().values() for each in marks.parts}
    parts = [part for each in messages if isinstance(each.get("content"), list) for part in each["content"]]
    sampled.with_parts += bool(parts)
    sampled.with_media += any(isinstance(part, dict) and part.get("type") in types for part in parts)
    answers = [message for message in messages if message["role"] == "assistant"]
    sampled.with_earlier_thinking += any(map(_thinks, answers[:-1]))


def _thinks(message: Mapping[str, Any]) -> bool:
    return "</think>" in (text_of(message.get("content")) or "") or any(
        message.get(name) for name in REASONING
    )


def _refuse_unknown_roles(records: Sequence[dict[str, Any]], mapping: schema.Mapping) -> None:
    column = mapping.messages
    if column is None:
        return
    aliases = role_aliases(mapping.roles)
    unknown: Counter[str] = Counter()
    for record in records:
        speakers = {str(m["from"]) for m in messages_in(value_at(record, column)) if "role" not in m}
        unknown.update(speakers - aliases.keys())
    if unknown and max(unknown.values()) * 2 > len(records):
        names = ", ".join(repr(name) for name in unknown)
        raise InputError(
            f"messages in {column!r} come from {names}, which is not a role that Forge knows; say which of "
            f"{', '.join(ROLES)} it is, as --set data.mapping.roles.{next(iter(unknown))}=user"
        )
