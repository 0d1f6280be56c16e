"""Jinja, one row after another: what every row can always fall back to."""

from __future__ import annotations

import json
from functools import cached_property
from hashlib import blake2b
from time import perf_counter
from typing import TYPE_CHECKING, Any

from forge_gpu.plain import mutable
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.turns.finder import SpanRule, rule_of
from forge_gpu.templates.turns.spans import Spans
from forge_gpu.templates.values import ABSENT

if TYPE_CHECKING:
    from forge_gpu.templates.once import Once

NO_COMPLETION = "the last message is not the assistant's: there is no completion"
OTHER_PROMPT = "the template writes the prompt otherwise once it is answered: no completion can be cut off"
SLOW_SECONDS = 150e-6
"""A row that takes longer is noted for the next pass: what that costs is less."""


def split_turn(template: ChatTemplate, conversation: Conversation) -> tuple[str, str]:
    """Prompt and completion of a conversation that ends with the assistant.

    The completion begins where the last `{% generation %}` block does; without such a block it is what the
    whole text adds to the prompt alone, rendered with add_generation_prompt. Where the text does not begin
    with that prompt, it is cut where the last turn begins; Refused is raised where that is not known.
    """
    if conversation.messages[-1].get("role") != "assistant":
        raise Refused(NO_COMPLETION)
    text, spans = template.render_spans(conversation)
    if spans:
        start = max(start for start, _ in spans)
        return text[:start], text[start:]
    prompt = template.render(
        Conversation(conversation.messages[:-1], conversation.tools), add_generation_prompt=True
    )
    if text.startswith(prompt):
        return prompt, text[len(prompt) :]
    cut = rule_of(template).split(conversation)
    if cut is None:
        raise Refused(OTHER_PROMPT)
    return cut


def render_fields(template: ChatTemplate, conversation: Conversation, split: bool) -> tuple[str, ...]:
    """The text of a conversation, or its prompt and completion."""
    return split_turn(template, conversation) if split else (template.render(conversation),)


@mutable
class JinjaRows:
    """Rows of one template by Jinja, each rendered once in this process however often it is asked for.

    rule: how spans are found; None where they are not asked for. seconds, rows: what was rendered so far."""

    template: ChatTemplate
    split: bool
    rule: SpanRule | None
    seconds: float = 0.0
    rows: int = 0

    @cached_property
    def _about(self) -> str:
        """What texts depend on besides the conversation."""
        template, rule = self.template, self.rule
        of_rule = None if rule is None else (sorted(rule.roles), rule.only_last)
        return repr(
            (template.source, template.date, template.final_field, template.fixed, self.split, of_rule)
        )

    @cached_property
    def _once(self) -> Once:
        """Made for the first row that is noted: most jobs never load it."""
        from forge_gpu.templates.once import once

        return once()

    def _key(self, conversation: Conversation) -> bytes:
        tools = [] if conversation.tools is ABSENT else [conversation.tools]
        spelled = json.dumps([self._about, conversation.messages, tools])
        return blake2b(spelled.encode(), digest_size=20).digest()

    def row(self, conversation: Conversation) -> tuple[tuple[str, ...], Spans | None]:
        """(texts of a conversation, its spans: None where they are not known or not asked for). Raises
        Refused, TemplateError."""
        key = self._key(conversation) if self._is_slow() else None
        made: Any = None if key is None else self._once.get(key)
        if made is None:
            made = self._rendered(conversation)
            if key is not None:
                self._once.put(key, made)
        match made:
            case {"refused": message}:
                raise Refused(message)
        texts, spans = made
        return tuple(texts), None if spans is None else [(start, end) for start, end in spans]

    def _is_slow(self) -> bool:
        return self.rows > 0 and self.seconds > SLOW_SECONDS * self.rows

    def _rendered(self, conversation: Conversation) -> Any:
        """The same as a value of JSON."""
        began = perf_counter()
        try:
            texts = render_fields(self.template, conversation, self.split)
            spans = None if self.rule is None else self.rule.find(conversation)
        except Refused as refused:
            return {"refused": str(refused)}
        finally:
            self.seconds += perf_counter() - began
            self.rows += 1
        return texts, spans
