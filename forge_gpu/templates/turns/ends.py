"""How a template ends the assistant's turns, found by asking it."""

from __future__ import annotations

import os.path
import re

from forge_gpu.plain import frozen
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.records import Message
from forge_gpu.templates.turns.written import Written

QUESTION, ANSWER = "probe-question", "probe-answer"
TOKEN = r"<[^<>\s]+>|\[/?[A-Z_]+\]"
"""A control token, as it is mostly spelled."""
TOKENS = re.compile(rf"(?:{TOKEN}|\s)+")


@frozen
class TurnEnds:
    """opening: what add_generation_prompt writes behind a question, "" where the model writes all of its
    turn. late: what ends the assistant's turn where the next message is written for, "" where nothing does.
    early: the header of the next turn that is written with the assistant's, "" where none is. trims: are
    contents written without the white space around them?"""

    opening: str = ""
    late: str = ""
    early: str = ""
    trims: bool = True


def turn_ends(template: ChatTemplate) -> TurnEnds:
    question, answer = _say("user", QUESTION), _say("assistant", ANSWER)
    amid = _written(template, [question, answer, question])
    opening = _opening(template, question)
    if amid is None or any(QUESTION not in amid.of(number) for number in (0, 2)):
        return TurnEnds(opening)
    first, later = amid.of(0), amid.of(2)
    shared = len(_shared_end(first, later))
    header, header_later = first[: first.index(QUESTION)], later[: later.index(QUESTION)]
    early = header[: len(header) - len(header_later)] if header.endswith(header_later) else ""
    closed = _written(template, [question, answer])
    is_end = closed is None or closed.text.rstrip().endswith(early.rstrip())
    if is_end or not early.strip() or not amid.of(1).endswith(early):
        early = ""
    late = later[: len(later) - shared].rstrip()
    if not TOKENS.fullmatch(late) or late in first:
        late = ""
    rest = "" if closed is None else closed.rest.strip()
    if not late and TOKENS.fullmatch(rest) and later.startswith(rest):
        late = rest  # it stands between the turns and behind the last
    spaced = _written(template, [question, _say("assistant", f"{ANSWER} \n\t")])
    return TurnEnds(
        opening=opening,
        late=late,
        early=early,
        trims=spaced is None or f"{ANSWER} \n\t" not in spaced.text,
    )


def _opening(template: ChatTemplate, question: Message) -> str:
    closed = _written(template, [question])
    opened = _written(template, [question], add_generation_prompt=True)
    return "" if closed is None or opened is None else opening_of(opened, closed, 1)


def opening_of(prompt: Written, whole: Written, number: int) -> str:
    """What add_generation_prompt writes for message `number`. prompt: the messages before it, so rendered."""
    stretch = whole.stretch(number)
    if stretch is not None and prompt.text.startswith(whole.text[: stretch[0]]):
        return prompt.text[stretch[0] :]
    before, written = prompt.of(number - 1), whole.of(number - 1)
    return (before[len(written) :] if before.startswith(written) else "") + prompt.rest


def _shared_end(one: str, other: str) -> str:
    return os.path.commonprefix([one[::-1], other[::-1]])  # noqa: RUF071 (texts, not paths)


def _say(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _written(template: ChatTemplate, messages: list[Message], **changed: object) -> Written | None:
    try:
        return template.written(Conversation(messages), **changed)
    except Refused:
        return None
