"""Trees of messages: OpenAssistant's. Each path from the root to an answer is a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from forge_gpu.records.asked import Asked
from forge_gpu.records.converters.turns import text_in
from forge_gpu.records.refused import BadRecord
from forge_gpu.records.values import json_text

Taken = Mapping[str, Any]
Message = dict[str, Any]
MOST_DEPTH = 200


def tree(taken: Taken, asked: Asked) -> list[dict[str, Any]]:
    """`all` paths that end with the assistant; or the `best`: the reply of the lowest rank each time."""
    root = json_text(taken["root"]) if "root" in taken else dict(taken)
    if not isinstance(root, dict):
        raise BadRecord("the tree is no object")
    paths = list(_paths(root, [], asked.answers != "all"))
    if not paths:
        raise BadRecord("no path of the tree ends with the assistant")
    return [{"messages": path} for path in paths]


def _paths(node: Mapping[str, Any], before: list[Message], best: bool) -> Iterator[list[Message]]:
    """Conversations that end at an assistant's message without a reply from the user that is answered."""
    if len(before) >= MOST_DEPTH:
        raise BadRecord(f"the tree is deeper than {MOST_DEPTH} messages")
    if not isinstance(node, dict) or "text" not in node or "role" not in node:
        raise BadRecord("a message of the tree has no text or no role")
    path = [*before, {"from": text_in(node["role"], "a role"), "value": text_in(node["text"], "a message")}]
    given = json_text(node.get("replies")) or []
    if not isinstance(given, list) or not all(isinstance(reply, dict) for reply in given):
        raise BadRecord("the replies of a message are no list of messages")
    replies = [reply for reply in given if not reply.get("deleted")]
    if best:
        replies = sorted(replies, key=_rank)[:1]
    result = False
    for reply in replies:
        for longer in _paths(reply, path, best):
            result = True
            yield longer
    if not result and path[-1]["from"] in ("assistant", "gpt", "bot", "model"):
        yield path


def _rank(reply: Mapping[str, Any]) -> float:
    rank = reply.get("rank")
    return float(rank) if isinstance(rank, int | float) else float("inf")
