"""What the assistant wrote, in characters of a text.

A span goes from the end of the turn's opening (what add_generation_prompt writes) to the end of the turn and
with it, wherever that is written: with the turn, with the next one, or behind the last. It never goes into
the next turn's header. Where a template does not write turn after turn, its spans are not known, and None.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from functools import cached_property

from forge_gpu.plain import frozen
from forge_gpu.templates.records import Message
from forge_gpu.templates.turns.ends import TOKEN, TOKENS, TurnEnds
from forge_gpu.templates.turns.trained import is_trained
from forge_gpu.templates.turns.written import Stretch, Written

_TOKEN = re.compile(TOKEN)
_END = re.compile(r"\s*\S{1,64}\s*")
"""An end of turn behind the last loop: one word."""

Spans = list[Stretch]


@frozen
class Turns:
    """One conversation as a template writes it. roles: whose messages are trained; only_last: the last alone.
    opening: the opening of a message's turn, by its number. closed: the conversation up to a message and with
    it, as it is written."""

    messages: list[Message]
    written: Written
    ends: TurnEnds
    roles: frozenset[str]
    only_last: bool
    opening: Callable[[int], str]
    prompt_rest: Callable[[], str]
    closed: Callable[[int], Written | None]

    def spans(self) -> Spans | None:
        """The spans of all trained messages that have one; None where one of them is not known."""
        spans = []
        for number, message in enumerate(self.messages):
            if self.trains(number, message):
                span = self.span(number)
                if span is None:
                    return None
                if span[0] < span[1]:
                    spans.append(span)
        return spans

    @property
    def are_settled(self) -> bool:
        """Whether all that the spans depend on is written by literals: every message has its own stretch, but
        for an instruction at the begin, and a turn that is trained goes on with the whole of its opening."""
        for number, message in enumerate(self.messages):
            stretch = self.written.stretch(number)
            headed = self.written.of(number).replace(_said(message), "").strip()
            if not (stretch and headed) and (number or message.get("role") != "system"):
                return False
            if stretch is None or not self.trains(number, message):
                continue
            opening = self.opening(number)
            behind = stretch[0]
            if self.ends.late and self.written.text.startswith(self.ends.late, behind):
                behind += len(self.ends.late)
            if message.get("role") != "assistant" or not self.written.text.startswith(opening, behind):
                return False
        return True

    @property
    def trained(self) -> int:
        """How many messages are trained."""
        return sum(self.trains(number, message) for number, message in enumerate(self.messages))

    def trains(self, number: int, message: Message) -> bool:
        return is_trained(message, self.roles) and (not self.only_last or number == len(self.messages) - 1)

    def span(self, number: int) -> Stretch | None:
        """That of one message; None where it is not known."""
        stretch = self.written.stretch(number)
        if stretch is None:
            silent = self.written.is_by_turns and not self.written.of(number).strip()
            return (0, 0) if silent and not _said(self.messages[number]) else None
        start = self._start(number, stretch)
        if start is None:
            return None
        if self._holds_others(number, stretch):
            return self._closed_span(number, start, stretch[0])
        end = self._end(number, stretch)
        return None if end is None else (start, max(start, self._trimmed(number, start, end)))

    def _start(self, number: int, stretch: Stretch) -> int | None:
        begin, text = stretch[0], self.written.text[slice(*stretch)]
        if self.messages[number].get("role") != "assistant":  # nothing but its content says where it begins
            said = _said(self.messages[number])
            return begin + text.index(said) if said and text.count(said) == 1 else None
        late = self.ends.late
        if late and number and self.messages[number - 1].get("role") == "assistant" and text.startswith(late):
            begin, text = begin + len(late), text[len(late) :]
        opening = self.opening(number)
        shared = len(os.path.commonprefix([opening, text]))  # noqa: RUF071 (texts, not paths)
        if shared < len(opening):
            for token in _TOKEN.finditer(opening):
                if token.start() < shared < token.end():
                    shared = token.start()
        return begin + shared

    def _end(self, number: int, stretch: Stretch) -> int | None:
        text, end = self.written.text, stretch[1]
        if number < len(self.messages) - 1:
            if self.ends.early and text.endswith(self.ends.early, stretch[0], end):
                return end - len(self.ends.early)
            if self.ends.late and text.startswith(self.ends.late, end):
                return end + len(self.ends.late)
            return end
        rest = self.written.rest
        if not rest.strip() or self.prompt_rest() == rest:  # a turn is opened behind every conversation
            return end
        return end + len(rest.rstrip()) if _END.fullmatch(rest) else None

    def _holds_others(self, number: int, stretch: Stretch) -> bool:
        """May a message that has no stretch of its own be written with this one? The next, until one has,
        may; so may any other whose content is there."""
        text = self.written.text[slice(*stretch)]
        return any(
            other == number + 1 or (said in text and other != number and (other > number or role != "system"))
            for other, role, said in self._silent
            if said or other == number + 1
        )

    @cached_property
    def _silent(self) -> list[tuple[int, object, str]]:
        """(number, role, content) of the messages that have no stretch of their own."""
        return [
            (number, message.get("role"), _said(message))
            for number, message in enumerate(self.messages)
            if not self.written.of(number).strip()
        ]

    def _closed_span(self, number: int, start: int, begin: int) -> Stretch | None:
        """The span of a turn that others are written into: as long as it would be at the end."""
        closed = self.closed(number)
        alone = "" if closed is None else closed.of(number).rstrip()
        if not alone or not self.written.text.startswith(alone, begin):
            return None
        end = begin + len(alone)
        left = self.written.of(number)[len(alone) :].rstrip()  # an end of turn that the last turn has not
        return start, max(start, end + len(left) if TOKENS.fullmatch(left) else end)

    def _trimmed(self, number: int, start: int, end: int) -> int:
        """Without the white space behind the end of turn; that of a content which nothing follows stays."""
        text = self.written.text
        last = start + len(text[start:end].rstrip())
        content = self.messages[number].get("content")
        if self.ends.trims or not isinstance(content, str) or content == content.rstrip():
            return last
        # a content as ">\n" may be spelled by an end of turn as well: its own place is first
        at = start if text.startswith(content, start) else text.rfind(content, start, end)
        return max(last, at + len(content)) if at >= 0 else last


def _said(message: Message) -> str:
    content = message.get("content")
    return content.strip() if isinstance(content, str) else ""
