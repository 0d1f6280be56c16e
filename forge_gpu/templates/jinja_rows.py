"""Jinja, one row after another: what every row can always fall back to."""

from __future__ import annotations

from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.turns.finder import rule_of

NO_COMPLETION = "the last message is not the assistant's: there is no completion"
OTHER_PROMPT = "the template writes the prompt otherwise once it is answered: no completion can be cut off"


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
