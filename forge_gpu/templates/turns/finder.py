"""Spans of what is trained, of rows that Jinja renders."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property, lru_cache

from forge_gpu.plain import mutable
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.final_message import as_given
from forge_gpu.templates.probes import has_generation_tags
from forge_gpu.templates.records import Message
from forge_gpu.templates.turns.ends import TurnEnds, opening_of, turn_ends
from forge_gpu.templates.turns.spans import Spans, Turns
from forge_gpu.templates.turns.trained import is_trained
from forge_gpu.templates.turns.written import Written

ASSISTANT = frozenset(("assistant",))
Prompt = Callable[[int], Written | None]
"""The messages before one, with what add_generation_prompt writes."""


@mutable
class SpanRule:
    """How spans of a template are found, whoever renders it. roles: whose messages are trained; only_last: of
    each conversation the last message alone."""

    template: ChatTemplate
    roles: frozenset[str] = ASSISTANT
    only_last: bool = False

    @cached_property
    def tagged(self) -> bool:
        return has_generation_tags(self.template)

    @cached_property
    def ends(self) -> TurnEnds:
        return turn_ends(self.template)

    def turns(self, messages: list[Message], written: Written, prompt: Prompt, closed: Prompt) -> Turns:
        """The turns of a conversation. Openings are asked for once for each role that they follow."""

        @cache
        def prompt_after(role: object) -> tuple[int, Written | None]:
            number = first_after(messages, role)
            return (0, None) if number is None else (number, prompt(number))

        def opening(number: int) -> str:
            if not number:
                return self.ends.opening
            first, text = prompt_after(messages[number - 1].get("role"))
            return self.ends.opening if text is None else opening_of(text, written, first)

        def prompt_rest() -> str:
            text = prompt_after(messages[-2].get("role"))[1] if len(messages) > 1 else None
            return "" if text is None else text.rest

        return Turns(messages, written, self.ends, self.roles, self.only_last, opening, prompt_rest, closed)

    def of_blocks(self, messages: list[Message], blocks: Spans, written: Callable[[], Written]) -> Spans:
        """The generation blocks, but for those of messages that are not trained."""
        untrained = {
            number
            for number, message in enumerate(messages)
            if message.get("role") == "assistant" and not self._trains(messages, number)
        }
        if not untrained:
            return blocks
        turns = written()
        stretches = [turns.stretch(number) for number in untrained]
        return [
            block
            for block in blocks
            if not any(part is not None and part[0] <= block[0] < part[1] for part in stretches)
        ]

    def _trains(self, messages: list[Message], number: int) -> bool:
        is_last = number == len(messages) - 1
        return is_trained(messages[number], self.roles) and (is_last or not self.only_last)

    def find(self, conversation: Conversation) -> Spans | None:
        """The spans of a conversation, by Jinja; None where they are not known."""
        template = self.template
        if template.final_field is not None:
            return None
        messages = as_given(conversation.messages)
        if self.tagged:
            blocks = template.render_spans(conversation)[1]
            return self.of_blocks(messages, blocks, lambda: template.written(conversation))
        return self._turns(conversation, template.written(conversation)).spans()

    def settled(self, conversation: Conversation) -> Spans | None:
        """The spans of a conversation, by Jinja, where other texts of the same messages could not make them
        begin or end in other literals; else None."""
        if self.template.final_field is not None or "assistant" not in self.roles:
            return None
        if self.tagged:
            return None if self.only_last else self.find(conversation)
        turns = self._turns(conversation, self.template.written(conversation))
        spans = turns.spans() if turns.are_settled else None
        return spans if spans is not None and len(spans) == turns.trained else None

    def last_turn(self, messages: list[Message], written: Written, prompt: Written | None) -> int | None:
        """Where the answer in the last message begins; None where it is not known. prompt: the messages
        before it, with what add_generation_prompt writes."""
        if prompt is None:
            return None
        last = len(messages) - 1
        turns = Turns(
            messages,
            written,
            self.ends,
            self.roles,
            True,
            lambda number: opening_of(prompt, written, number),
            lambda: prompt.rest,
            lambda number: written,
        )
        span = turns.span(last)
        return span[0] if span is not None and span[0] < span[1] else None

    def split(self, conversation: Conversation) -> tuple[str, str] | None:
        """Prompt and completion, cut where the last turn begins; None where that is not known."""
        last = len(conversation.messages) - 1
        written = self.template.written(conversation)
        prompt = self._part(conversation, last, add_generation_prompt=True)
        start = self.last_turn(as_given(conversation.messages), written, prompt)
        return None if start is None else (written.text[:start], written.text[start:])

    def _turns(self, conversation: Conversation, written: Written) -> Turns:
        def prompt(number: int) -> Written | None:
            return self._part(conversation, number, add_generation_prompt=True)

        def closed(number: int) -> Written | None:
            return self._part(conversation, number + 1)

        return self.turns(as_given(conversation.messages), written, prompt, closed)

    def _part(self, conversation: Conversation, count: int, **changed: object) -> Written | None:
        part = Conversation(conversation.messages[:count], conversation.tools)
        try:
            return self.template.written(part, **changed)
        except Refused:
            return None


@lru_cache(maxsize=16)
def rule_of(template: ChatTemplate) -> SpanRule:
    return SpanRule(template)


def first_after(messages: list[Message], role: object) -> int | None:
    """The number of the first message of the assistant that follows one of a role."""
    for number in range(1, len(messages)):
        if messages[number - 1].get("role") == role and messages[number].get("role") == "assistant":
            return number
    return None
