"""Conversations that are no lists of messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from forge_gpu.records.asked import Asked
from forge_gpu.records.keys import turn_keys, two_keys
from forge_gpu.records.refused import BadRecord
from forge_gpu.records.values import json_text

Message = dict[str, Any]
Taken = Mapping[str, Any]

SPEAKERS = {"human": "user", "user": "user", "assistant": "assistant", "system": "system"}
_TURN = re.compile(r"\n\n(Human|User|Assistant|System):[ \t]?")


def text_in(value: Any, what: str, number: int = 0) -> str:
    """A text; a number or a truth value as JSON spells it. Raises BadRecord for what is neither. what: what
    it is, with {} for a number."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise BadRecord(f"{what.format(number)} is {'null' if value is None else 'no text'}")


def list_in(value: Any, what: str, number: int = 0) -> list[Any]:
    """A list that is not empty, as it is or as JSON in a text. Raises BadRecord."""
    value = json_text(value)
    if not isinstance(value, list):
        raise BadRecord(f"{what.format(number)} is not a list")
    if not value:
        raise BadRecord(f"{what.format(number)} is an empty list")
    return value


def with_system(messages: list[Message], taken: Taken) -> dict[str, Any]:
    system = taken.get("system")
    if system:
        messages = [{"role": "system", "content": text_in(system, "the system prompt")}, *messages]
    return {"messages": messages}


def question(taken: Taken) -> str:
    """The query, and its input after a newline where there is one."""
    query, extra = text_in(taken["query"], "the query"), taken.get("input")
    return f"{query}\n{text_in(extra, 'the input')}" if extra else query


def one_turn(asked: str, answered: str) -> list[Message]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]


def pairs_in(value: Any, what: str) -> list[Message]:
    """The messages of pairs of texts; none of an empty list."""
    value = json_text(value)
    if not isinstance(value, list):
        raise BadRecord(f"{what} is not a list of pairs")
    messages: list[Message] = []
    for number, pair in enumerate(value, 1):
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadRecord(f"pair {number} of {what} is not a list of two texts")
        where = "a text of pair {}"
        messages += one_turn(text_in(pair[0], where, number), text_in(pair[1], where, number))
    return messages


def history(taken: Taken, asked: Asked) -> dict[str, Any]:
    messages = pairs_in(taken["history"], "the history")
    return with_system(
        [*messages, *one_turn(question(taken), text_in(taken["response"], "the answer"))], taken
    )


def pairs(taken: Taken, asked: Asked) -> dict[str, Any]:
    messages = pairs_in(taken["pairs"], "the list")
    if not messages:
        raise BadRecord("the list of pairs is empty")
    return with_system(messages, taken)


def alternating(taken: Taken, asked: Asked) -> dict[str, Any]:
    texts = list_in(taken["texts"], "the conversation")
    roles = ("user", "assistant")
    return with_system(
        [
            {"role": roles[number % 2], "content": text_in(text, "turn {}", number + 1)}
            for number, text in enumerate(texts)
        ],
        taken,
    )


def turns(taken: Taken, asked: Asked) -> dict[str, Any]:
    """Speakers keep their names: the roles of the mapping are asked for them, as for `from`."""
    messages: list[Message] = []
    for number, turn in enumerate(list_in(taken["turns"], "the conversation"), 1):
        if not isinstance(turn, dict):
            raise BadRecord(f"turn {number} is not an object")
        who, said = two_keys("who", "said", tuple(turn))
        if who is None or said is None:
            lacking, keys = ("who speaks", "who") if who is None else ("what is said", "said")
            raise BadRecord(
                f"turn {number} does not say {lacking}: it has none of {', '.join(turn_keys(keys))}"
            )
        speaker = text_in(turn[who], "the speaker of turn {}", number)
        messages.append({"from": speaker, "value": text_in(turn[said], "turn {}", number)})
    return with_system(messages, taken)


def exchanges(taken: Taken, asked: Asked) -> dict[str, Any]:
    messages: list[Message] = []
    for number, exchange in enumerate(list_in(taken["exchanges"], "the conversation"), 1):
        messages += one_turn(*exchange_in(exchange, number))
    return with_system(messages, taken)


def exchange_in(exchange: Any, number: int) -> tuple[str, str]:
    """The question and the answer of an exchange. Raises BadRecord."""
    if not isinstance(exchange, dict):
        raise BadRecord(f"exchange {number} is not an object")
    asked, answered = two_keys("asked", "answered", tuple(exchange))
    if asked is None or answered is None:
        raise BadRecord(f"exchange {number} has no {'question' if asked is None else 'answer'}")
    where = "a text of exchange {}"
    return text_in(exchange[asked], where, number), text_in(exchange[answered], where, number)


def contents(taken: Taken, asked: Asked) -> dict[str, Any]:
    """Of the Gemini interface: roles `user` and `model`, and parts that are texts."""
    messages: list[Message] = []
    for number, content in enumerate(list_in(taken["contents"], "the conversation"), 1):
        if not isinstance(content, dict):
            raise BadRecord(f"content {number} is not an object")
        role = content.get("role") or "user"
        messages.append({"from": text_in(role, "a role"), "value": _parts(content.get("parts"), number)})
    system = json_text(taken.get("system"))
    if isinstance(system, dict):
        system = _parts(system.get("parts"), 0)
    return with_system(messages, {"system": system})


def _parts(parts: Any, number: int) -> str:
    texts = []
    for part in [parts] if isinstance(parts, dict) else list_in(parts, "the parts of content {}", number):
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
        if not isinstance(text, str):
            raise BadRecord(f"content {number} has a part that is not a text")
        texts.append(text)
    return "".join(texts)


def prompt_completion(taken: Taken, asked: Asked) -> dict[str, Any]:
    prompt = messages_in(taken["prompt"], "the prompt", "user")
    record: dict[str, Any] = {
        "messages": prompt + messages_in(taken["completion"], "the answer", "assistant")
    }
    if "tools" in taken:
        record["tools"] = json_text(taken["tools"])
    return record


def messages_in(value: Any, what: str, role: str) -> list[Message]:
    """A list of messages, one message, or a text, which is one of a role."""
    value = json_text(value)
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    value = [value] if isinstance(value, dict) else value
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        raise BadRecord(f"{what} is not a list of messages")
    return value


def reasoning(taken: Taken, asked: Asked) -> dict[str, Any]:
    messages = one_turn(question(taken), text_in(taken["response"], "the answer"))
    messages[1]["reasoning_content"] = text_in(taken["reasoning"], "the reasoning")
    return with_system(messages, taken)


def segments(taken: Taken, asked: Asked) -> dict[str, Any]:
    """Texts with a true label are answers; neighbours with the same label are one message."""
    messages: list[Message] = []
    for number, segment in enumerate(list_in(taken["segments"], "the record"), 1):
        if not isinstance(segment, dict) or not isinstance(segment.get("label"), bool):
            raise BadRecord(f"segment {number} has no label that is true or false")
        role = "assistant" if segment["label"] else "user"
        text = text_in(segment.get("text"), "segment {}", number)
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += text
        else:
            messages.append({"role": role, "content": text})
    return {"messages": messages}


def transcript(taken: Taken, asked: Asked) -> dict[str, Any]:
    return {"messages": turns_of_transcript(text_in(taken["transcript"], "the transcript"))}


def turns_of_transcript(text: str) -> list[Message]:
    """The messages of a text in which a turn begins with a blank line and `Human:` or `Assistant:`."""
    result: Sequence[str] = _TURN.split("\n\n" + text.lstrip())
    if result[0] or len(result) < 3:
        raise BadRecord("the transcript does not begin with a speaker, as 'Human:'")
    return [
        {"role": SPEAKERS[speaker.lower()], "content": said.strip()}
        for speaker, said in zip(result[1::2], result[2::2], strict=True)
    ]
