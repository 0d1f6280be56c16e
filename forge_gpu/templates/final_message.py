"""`continue_final_message`: a text that ends where the last message does, for the model to go on with.

The rule of apply_chat_template: a tag is put behind the last message's text, and what is rendered is cut
at the tag.
"""

from __future__ import annotations

from typing import Any

from forge_gpu.templates.records import Message

TAG = "CONTINUE_FINAL_MESSAGE_TAG "
REASONING = ("reasoning_content", "thinking", "reasoning")
"""The names that a message's reasoning goes by, the one that most templates read first."""


class NoFinalMessage(ValueError):
    """The last message cannot be gone on with."""


def as_given(messages: list[Message]) -> list[Message]:
    """Messages as apply_chat_template gives them to a template.

    Keys whose value is None are dropped. Reasoning stands under the names that templates read: whatever name
    the data uses, `reasoning_content` has it, and `thinking` where there was none.
    """
    return [_as_given(message) for message in messages]


def _as_given(message: Message) -> Message:
    if None in message.values():
        message = {key: value for key, value in message.items() if value is not None}
    reasoning = next((message[name] for name in REASONING if name in message), None)
    if reasoning is None:
        return message
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


def tagged(messages: list[Message], field: str) -> tuple[list[Message], str]:
    """The messages with the tag behind the last one's text, and that text. Raises NoFinalMessage."""
    if not messages or messages[-1].get(field) is None:
        raise NoFinalMessage(f"continue_final_message: the last message has no {field!r} to go on with")
    last = dict(messages[-1])
    text = last[field]
    if isinstance(text, list):
        text, last[field] = _tagged_parts(text)
    elif not isinstance(text, str):
        raise NoFinalMessage(f"continue_final_message: the last message's {field!r} is not a text")
    else:
        names = [name for name in REASONING if last.get(name) == text] if field in REASONING else [field]
        last |= {name: text + TAG for name in names}
    return [*messages[:-1], last], text


def _tagged_parts(parts: list[Any]) -> tuple[str, list[Any]]:
    for number in range(len(parts) - 1, -1, -1):
        if isinstance(parts[number], dict) and "text" in parts[number]:
            text = parts[number]["text"]
            return text, [*parts[:number], {**parts[number], "text": text + TAG}, *parts[number + 1 :]]
    raise NoFinalMessage("continue_final_message: the last message has no text to go on with")


def cut_at_tag(text: str, final: str) -> str:
    """What was rendered, up to the tag. Raises NoFinalMessage where the template changed the message."""
    if final.strip() not in text or TAG.strip() not in text:
        raise NoFinalMessage("continue_final_message: the template does not write the last message as it is")
    at = text.rindex(TAG.strip())
    return text[:at] if text[at : at + len(TAG)] == TAG else text[:at].rstrip()
