"""The sampled records as conversations: who speaks, how often, and whether a template takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from forge_gpu.errors import InputError
from forge_gpu.planner.columns import messages_in
from forge_gpu.planner.mapping import Picked
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.final_message import REASONING
from forge_gpu.templates.records import BadRecord, messages_of, text_of, tools_of
from forge_gpu.templates.roles import ROLES, role_aliases
from forge_gpu.templates.values import ABSENT

MOST = 100


@dataclass(slots=True)
class Talks:
    """talks: the sampled conversations. bad: why others are none. The counts are of `talks`."""

    talks: list[Conversation] = field(default_factory=list)
    bad: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    several_turns: int = 0
    with_system: int = 0
    with_tools: int = 0
    with_parts: int = 0
    with_earlier_thinking: int = 0

    def __len__(self) -> int:
        return len(self.talks)

    def damage(self) -> list[str]:
        """A line on the records that are no conversations, if any."""
        if not self.bad:
            return []
        whys = "; ".join(f"{why} ({count})" for why, count in self.bad.most_common(3))
        return [f"{self.bad.total()} conversations looked at are damaged: {whys}"]


def read_talks(records: Sequence[dict[str, Any]], picked: Picked) -> Talks:
    """Up to MOST of the records, evenly taken, as conversations.

    Raises InputError where most messages come from a role that is not known.
    """
    found = Talks()
    renamed = dict(picked.values.get("roles", {}))
    aliases = role_aliases(renamed)
    step = max(1, len(records) // MOST)
    taken = records[::step][:MOST]
    _refuse_unknown_roles(taken, picked, aliases)
    for record in taken:
        try:
            _count(found, _conversation(record, picked.columns, aliases, renamed))
        except BadRecord as bad:
            found.bad[bad.detail] += 1
    return found


def _conversation(
    record: Mapping[str, Any],
    columns: Mapping[str, str],
    aliases: Mapping[str, str],
    renamed: Mapping[str, str],
) -> Conversation:
    def value(key: str) -> Any:
        return record.get(columns[key]) if key in columns else None

    if "messages" in columns:
        messages = messages_of(value("messages"), aliases, renamed)
    elif "query" in columns:
        query, extra = _text(value("query")), _text(value("input"))
        messages = [{"role": "user", "content": f"{query}\n{extra}" if extra else query}]
    else:
        messages = []
    if "chosen" in columns:
        chosen = value("chosen")
        plain = isinstance(chosen, str) and not messages_in(chosen)
        last = [{"role": "assistant", "content": chosen}] if plain else messages_of(chosen, aliases, renamed)
        messages = messages + last
    elif "response" in columns:
        messages = [*messages, {"role": "assistant", "content": _text(value("response"))}]
    if value("system"):
        messages = [{"role": "system", "content": _text(value("system"))}, *messages]
    return Conversation(messages, tools_of(value("tools")) if "tools" in columns else ABSENT)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _count(found: Talks, talk: Conversation) -> None:
    roles = [str(message["role"]) for message in talk.messages]
    found.talks.append(talk)
    found.roles.update(roles)
    found.several_turns += roles.count("user") > 1
    found.with_system += "system" in roles and bool(text_of(talk.messages[0].get("content")))
    found.with_tools += bool(talk.tools is not ABSENT and talk.tools) or "tool" in roles
    found.with_parts += any(isinstance(message.get("content"), list) for message in talk.messages)
    answers = [message for message in talk.messages if message["role"] == "assistant"]
    found.with_earlier_thinking += any(map(_thinks, answers[:-1]))


def _thinks(message: Mapping[str, Any]) -> bool:
    return "</think>" in (text_of(message.get("content")) or "") or any(
        message.get(name) for name in REASONING
    )


def _refuse_unknown_roles(
    records: Sequence[dict[str, Any]], picked: Picked, aliases: Mapping[str, str]
) -> None:
    column = picked.columns.get("messages")
    if column is None:
        return
    unknown: Counter[str] = Counter()
    for record in records:
        speakers = {str(m["from"]) for m in messages_in(record.get(column)) if "role" not in m}
        unknown.update(speakers - aliases.keys())
    if unknown and max(unknown.values()) * 2 > len(records):
        names = ", ".join(repr(name) for name in unknown)
        raise InputError(
            f"messages in {column!r} come from {names}, which is no role that Forge knows; say which of "
            f"{', '.join(ROLES)} it is, as --set data.mapping.roles.{next(iter(unknown))}=user"
        )
