"""What a chat template does, found by asking it: no list of models goes stale here.

Each probe renders a small conversation or two and looks at the text. A template that refuses the plainest
conversation has no answers: its probes are None.
"""

from __future__ import annotations

import datetime
import os.path
import re
from itertools import pairwise

from forge_gpu.plain import frozen
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.records import Message
from forge_gpu.templates.values import ABSENT

_TOKEN = re.compile(r"\s*<[^<>\s]+>")
"""A special token, as it is mostly spelled, at the start of a text."""

TOOL = {
    "type": "function",
    "function": {
        "name": "probe_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@frozen
class Probes:
    """None where the template gave no answer."""

    refuses: str | None
    """Why it refuses a question and its answer; None where it renders them."""
    writes_bos: bool | None
    """The text begins with the beginning-of-sequence token: a tokenizer must not add another."""
    system: str | None
    """`written`, `dropped` or `refused`."""
    enforces_alternation: bool | None
    takes_tools: bool | None
    generation_tags: bool
    prefix_preserving: bool | None
    """A conversation's text begins with the text of each earlier part of it that ends with the assistant."""
    end_of_turn: tuple[str, ...] | None
    """What follows the assistant's content in every turn; one text, or one amid a conversation and one at
    its end; empty if nothing does."""
    drops_earlier_thinking: bool | None
    depends_on_date: bool


def probe(template: ChatTemplate) -> Probes:
    """Ask a template about itself. Raises TemplateError where it meets a bound."""
    turn = [_say("user", "probe-one"), _say("assistant", "probe-two")]
    text = _render(template, turn)
    later = [*turn, _say("user", "probe-three"), _say("assistant", "probe-four")]
    whole = _render(template, later)
    bos = template.fixed.get("bos_token")
    return Probes(
        refuses=_refusal(template, turn),
        writes_bos=None if text is None else isinstance(bos, str) and bos != "" and text.startswith(bos),
        system=_system(template, turn),
        enforces_alternation=None if text is None else _refusal(template, [turn[0], *turn]) is not None,
        takes_tools=_takes_tools(template, turn),
        generation_tags=has_generation_tags(template),
        prefix_preserving=None if text is None or whole is None else whole.startswith(text),
        end_of_turn=end_of_turn(template),
        drops_earlier_thinking=_drops_thinking(template),
        depends_on_date=depends_on_date(template),
    )


def end_of_turn(template: ChatTemplate) -> tuple[str, ...] | None:
    """What the template writes after the assistant's content, without the white space behind it.

    It is what comes both amid a conversation and at its end. Where two special tokens differ (as
    `<|end|>` and `<|return|>` do), it is each of them. None where contents are not written as they are.
    """
    turns = [_say("user", "probe-one"), _say("assistant", "probe-two")]
    turns += [_say("user", "probe-three"), _say("assistant", "probe-four")]
    text = _render(template, turns)
    if text is None or "probe-two" not in text or "probe-four" not in text:
        return None
    amid, last = text.rpartition("probe-two")[2], text.rpartition("probe-four")[2]
    shared = os.path.commonprefix([amid, last])  # noqa: RUF071 (texts, not paths)
    tokens = [_TOKEN.match(after) for after in (amid, last)]
    ends = [token.end() for token in tokens if token]
    if shared and len(ends) == 2 and min(ends) > len(shared):
        return (amid[: ends[0]], last[: ends[1]])
    return (shared.rstrip(),) if shared.rstrip() else ()


def turn_opening(template: ChatTemplate) -> str:
    """What add_generation_prompt writes: the opening of the assistant's turn; "" where it is not known."""
    prompt = [_say("user", "probe-one")]
    closed = _render(template, prompt)
    try:
        opened = template.render(Conversation(prompt), add_generation_prompt=True)
    except Refused:
        return ""
    return opened[len(closed) :] if closed and opened.startswith(closed) else ""


def has_generation_tags(template: ChatTemplate) -> bool:
    """Does the template mark what the assistant wrote?"""
    tokens = [(kind, value) for _, kind, value in template.environment.lex(template.source)]
    named = [token for token in tokens if token[0] != "whitespace"]
    return any(
        token[0] == "block_begin" and after == ("name", "generation") for token, after in pairwise(named)
    )


def depends_on_date(template: ChatTemplate) -> bool:
    """Does the date change a text? Asked with two dates, and tools given and not."""
    turns = [_say("user", "probe-one"), _say("assistant", "probe-two")]
    texts = []
    for date in ("2001-02-03", "2024-11-25"):
        dated = with_date(template, date)
        texts.append([_render(dated, turns), _render(dated, turns, [TOOL])])
    return texts[0] != texts[1]


def with_date(template: ChatTemplate, date: str) -> ChatTemplate:
    """The same template on another day."""
    variables = {**template.fixed, "continue_final_message": template.final_field or False}
    return ChatTemplate(template.source, {}, variables, date, template.bounds)


def today() -> str:
    """The date of the plan, YYYY-MM-DD."""
    return datetime.date.today().isoformat()


def _say(role: str, content: str, **more: object) -> Message:
    return {"role": role, "content": content, **more}


def _render(template: ChatTemplate, messages: list[Message], tools: object = ABSENT) -> str | None:
    try:
        return template.render(Conversation(messages, tools))
    except Refused:
        return None


def _refusal(template: ChatTemplate, messages: list[Message]) -> str | None:
    try:
        template.render(Conversation(messages))
    except Refused as refused:
        return str(refused)
    return None


def _system(template: ChatTemplate, turn: list[Message]) -> str | None:
    if _render(template, turn) is None:
        return None
    text = _render(template, [_say("system", "probe-system"), *turn])
    if text is None:
        return "refused"
    return "written" if "probe-system" in text else "dropped"


def _takes_tools(template: ChatTemplate, turn: list[Message]) -> bool | None:
    if _render(template, turn) is None:
        return None
    texts = [_render(template, given, [TOOL]) for given in (turn, [_say("system", "probe-system"), *turn])]
    return any("probe_weather" in text for text in texts if text)


def _drops_thinking(template: ChatTemplate) -> bool | None:
    """Thinking in a field of its own, or in the content: written in the last turn, not in an earlier one."""
    shown = False
    for form in ({"reasoning_content": "probe-{}"}, {"content": "<think>\nprobe-{}\n</think>\n\nx"}):
        earlier, last = ({key: text.format(when) for key, text in form.items()} for when in ("early", "late"))
        turns = [
            _say("user", "one"),
            {**_say("assistant", "two"), **earlier},
            _say("user", "three"),
            {**_say("assistant", "four"), **last},
        ]
        text = _render(template, turns)
        if text is not None and "probe-late" in text:
            shown = True
            if "probe-early" not in text:
                return True
    return False if shown else None
