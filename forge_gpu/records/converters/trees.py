"""Trees of messages: OpenAssistant's. Each path from the root to an answer is a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from forge_gpu.records.asked import Asked
from forge_gpu.records.converters.turns import text_in
from forge_gpu.records.keys import two_keys
from forge_gpu.records.refused import BadRecord
from forge_gpu.records.values import json_text

Taken = Mapping[str, Any]
Message = dict[str, Any]
MOST_DEPTH = 200


def tree(taken: Taken, asked: Asked) -> list[dict[str, Any]]:
    """`all` paths that end with the assistant; or the `best`: the reply of the lowest rank each time."""
    root = json_text(taken["root"]) if "root" in taken else dict(taken)
    if not isinstance(root, dict):
        raise BadRecord("the tree is not an object")
    if taken.get("parent"):
        raise BadRecord(f"the message before it, {str(taken['parent'])[:60]!r}, is not in the file")
    paths = list(_paths(root, [], asked.answers != "all"))
    if not paths:
        raise BadRecord("no path of the tree ends with the assistant")
    return [{"messages": path} for path in paths]


def _paths(node: Mapping[str, Any], before: list[Message], best: bool) -> Iterator[list[Message]]:
    """Conversations that end at an assistant's message without a reply from the user that is answered."""
    if len(before) >= MOST_DEPTH:
        raise BadRecord(f"the tree is deeper than {MOST_DEPTH} messages")
    path = [*before, _message(node)]
    given = json_text(node.get("replies")) or []
    if not isinstance(given, list) or not all(isinstance(reply, dict) for reply in given):
        raise BadRecord("the replies of a message are not a list of messages")
    replies = [reply for reply in given if not _is_true(reply.get("deleted"))]
    if best:
        replies = sorted(replies, key=_rank)[:1]
    result = False
    for reply in replies:
        for longer in _paths(reply, path, best):
            result = True
            yield longer
    if not result and path[-1]["from"] in ("assistant", "gpt", "bot", "model"):
        yield path


def _message(node: Mapping[str, Any]) -> Message:
    who, said = two_keys("who", "said", tuple(node))
    if who is None or said is None:
        raise BadRecord("a message of the tree has no text or no role")
    return {"from": text_in(node[who], "a role"), "value": text_in(node[said], "a message")}


def _rank(reply: Mapping[str, Any]) -> float:
    rank = reply.get("rank")
    try:
        return float(rank) if isinstance(rank, str | int | float) else float("inf")
    except ValueError:  # as the empty field of a table
        return float("inf")


def _is_true(value: Any) -> bool:
    """A table of text has a word for it."""
    return bool(value) and str(value).lower() in ("true", "1", "1.0")
