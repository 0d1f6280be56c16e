"""The messages of a row as a chat template is given them: the plain meaning of
`kernels/cpu/vm_messages.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forge_gpu.kernels.reference.vm_values import ToJinja
from forge_gpu.kernels.vm_layout import FIXED_NAMES, NAME_REASONING
from forge_gpu.kernels.vm_layout import REASONING as COUNT

REASONING = FIXED_NAMES[NAME_REASONING : NAME_REASONING + COUNT]


def prepare_messages(value: Any, renamed: Mapping[str, str]) -> list[dict[str, Any]]:
    """Messages without null keys, with reasoning under every name; ToJinja for other shapes than those with a
    role and a content."""
    if not isinstance(value, list) or not value:
        raise ToJinja
    return [_message(item, renamed) for item in value]


def _message(item: Any, renamed: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise ToJinja
    message = {key: value for key, value in item.items() if value is not None}
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or ("content" not in message and "value" in message):
        raise ToJinja
    if isinstance(content, list) and any(isinstance(part, dict) and "value" in part for part in content):
        raise ToJinja
    message["role"] = renamed.get(role, role)
    reasoning = next((message[name] for name in REASONING if name in message), None)
    if reasoning is None:
        return message
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


def prompt_of(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages but the last, which must be the assistant's."""
    if messages[-1]["role"] != "assistant":
        raise ToJinja
    return messages[:-1]
