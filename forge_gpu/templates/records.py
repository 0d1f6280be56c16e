"""Records to messages, in Python: what a conversation of any known shape means to a chat template.

OpenAI messages (`role`, `content`) are passed on as they came: order of keys, [] and "" are kept, since each
of them is something else to a template. A key whose value is null is as if it were not there, as
`apply_chat_template` has it. ShareGPT messages (`from`, `value`) become OpenAI ones.
Parts with a `value` ({"type": "text", "value": ...}) become a text, reasoning or tool calls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from forge_gpu.records.refused import BadRecord as BadRecord
from forge_gpu.templates.roles import FUNCTION_CALL
from forge_gpu.templates.values import ABSENT

Message = dict[str, Any]


def messages_of(value: object, aliases: Mapping[str, str], roles: Mapping[str, str]) -> list[Message]:
    """A message list of any known shape as OpenAI messages.

    aliases: names of `from` -> role. roles: the same of `role`; without any, all are passed on. Raises
    BadRecord.
    """
    if isinstance(value, str):  # a list kept as JSON inside a string, as in CSV and some Parquet files
        value = json_in_text(value, "the messages")
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise BadRecord("the messages are not a list")
    if not value:
        raise BadRecord("the list of messages is empty")
    return [_message(item, number, aliases, roles) for number, item in enumerate(value)]


def json_in_text(text: str, what: str) -> Any:
    """JSON that is kept inside a string."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"{what} are a string that is not JSON: {error}") from None


def tools_of(value: object) -> object:
    """A `tools` column: a list, or one kept as JSON inside a string; null and an empty string are none."""
    if isinstance(value, str):
        value = json_in_text(value, "the tools") if value.strip() else None
    return ABSENT if value is None else value


def text_of(content: object) -> str | None:
    """The text of a message's content: a string, or the text parts of a list; None where there is none."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [
            part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"
        ]
        return "".join(text for text in texts if isinstance(text, str)) if texts else None
    return None


def _message(item: object, number: int, aliases: Mapping[str, str], roles: Mapping[str, str]) -> Message:
    if not isinstance(item, dict):
        raise BadRecord(f"message {number + 1} is not an object")
    item = {key: value for key, value in item.items() if value is not None}
    if "role" in item:
        role = item["role"]
        message = dict(item)
        if "content" not in item and "value" in item:
            message = {"content" if key == "value" else key: value for key, value in item.items()}
        if not isinstance(role, str):
            raise BadRecord(f"message {number + 1} has a role that is not a text")
        if roles:
            message["role"] = _known(role, number, roles, "has the role")
        if message["role"] == FUNCTION_CALL:
            message = _calling(message, number)
    elif "from" in item:
        message = _from_value(item, number, aliases)
    else:
        raise BadRecord(
            f"message {number + 1} has neither 'role' nor 'from'; data.convert.by=turns knows other keys"
        )
    if isinstance(message.get("content"), list):
        message = _join_value_parts(message)
    return message


def _from_value(item: Message, number: int, aliases: Mapping[str, str]) -> Message:
    role = _known(item["from"], number, aliases, "is from")
    named = {"from": "role", "value": "content"}
    message = {named.get(key, key): value for key, value in item.items()}
    message["role"] = role
    return _calling(message, number) if role == FUNCTION_CALL else message


def _known(name: object, number: int, roles: Mapping[str, str], how: str) -> str:
    role = roles.get(name) if isinstance(name, str) else None
    if role is None:
        raise BadRecord(
            f"message {number + 1} {how} {name!r}, a role that is not known; "
            "name it in data.mapping.roles, e.g. {" + f"{name}: user" + "}"
        )
    return role


def _calling(message: Message, number: int) -> Message:
    """A turn that is tool calls and nothing else."""
    calls = _tool_calls(message.get("content"), number)
    return {**message, "role": "assistant", "tool_calls": calls, "content": ""}


def _tool_calls(value: object, number: int) -> list[Message]:
    if isinstance(value, str):
        value = json_in_text(value, f"the tool calls of message {number + 1}")
    calls = value if isinstance(value, list) else [value]
    if not all(isinstance(call, dict) and "name" in call for call in calls):
        raise BadRecord(f"message {number + 1} is a tool call without a name")
    return [{"type": "function", "function": call} for call in calls]


def _join_value_parts(message: Message) -> Message:
    """Parts with a `value` and no media are one text, reasoning and tool calls; other parts stay parts."""
    parts = message["content"]
    valued = [part for part in parts if isinstance(part, dict) and "value" in part and "type" in part]
    if not valued or len(valued) != len(parts):
        return message
    result = dict(message)
    texts = [part["value"] for part in valued if part["type"] == "text"]
    reasoning = [part["value"] for part in valued if part["type"] == "reasoning"]
    calls = [part["value"] for part in valued if part["type"] in ("tool_call", "function_call")]
    if len(texts) + len(reasoning) + len(calls) < len(parts):
        result["content"] = [_renamed_part(part) for part in parts]
        return result
    if not all(isinstance(text, str) for text in texts + reasoning):
        raise BadRecord("a text part has a value that is not a text")
    result["content"] = "".join(texts)
    if reasoning:
        result["reasoning_content"] = "".join(reasoning)
    if calls:
        result["tool_calls"] = [call for value in calls for call in _tool_calls(value, 0)]
    return result


def _renamed_part(part: Message) -> Message:
    kind = part["type"]
    return {(kind if key == "value" else key): value for key, value in part.items()}
