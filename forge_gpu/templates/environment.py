"""Chat templates as the model's tokenizer renders them: one conversation at a time, with real Jinja.

The environment has what `tokenizer.apply_chat_template` gives a template: sandbox, trim_blocks and
lstrip_blocks, loop controls, `tojson` without ASCII escapes, `raise_exception`, `strftime_now`,
`{% generation %}`, and as variables messages, tools, documents, add_generation_prompt, the special tokens
and whatever the user adds. The date is an input, so that the same plan gives the same bytes tomorrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from forge_gpu.errors import TemplateError
from forge_gpu.templates.bounds import BoundedEnvironment, Bounds
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.crowd import Crowd
from forge_gpu.templates.final_message import NoFinalMessage, as_given, cut_at_tag, tagged
from forge_gpu.templates.process import Outside
from forge_gpu.templates.rendering import CharacterSpan, Refused, Rendering
from forge_gpu.templates.small import Beyond, SmallEnvironment, small
from forge_gpu.templates.turns.rounds import SmallTurnEnvironment
from forge_gpu.templates.turns.written import Written
from forge_gpu.templates.values import ABSENT

if TYPE_CHECKING:
    from forge_gpu.config.schema import ModelConfig

__all__ = ["ChatTemplate", "Refused", "chat_template"]

SMALL_SOURCE = 2**16
"""Characters of a source that is parsed here at once; a longer one is tried by the other process before."""

MOST_SOURCE = 2**22
T = TypeVar("T")


class ChatTemplate:
    """A model's Jinja template with its special tokens and variables. One thread at a time.

    variables: extra ones of the template; `add_generation_prompt`, `continue_final_message`, `tools` and
    `documents` among them mean what they mean to apply_chat_template. Raises TemplateError where the source
    is no valid template.
    """

    def __init__(
        self,
        source: str,
        special_tokens: Mapping[str, str],
        variables: Mapping[str, object],
        date: str | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.source = source
        self.date = date
        self.bounds = bounds or Bounds()
        going_on = variables.get("continue_final_message", False)
        self.final_field = going_on if isinstance(going_on, str) else "content" if going_on else None
        self.fixed: dict[str, object] = {
            "tools": None,
            "documents": None,
            "add_generation_prompt": False,
            **special_tokens,
            **{name: value for name, value in variables.items() if name != "continue_final_message"},
        }
        if self.final_field is not None and self.fixed["add_generation_prompt"]:
            raise TemplateError("add_generation_prompt and continue_final_message exclude each other")
        if len(source) > MOST_SOURCE:
            raise TemplateError(f"the chat template has more than {MOST_SOURCE} characters")
        self.outside = Outside(source, date, self.bounds)
        if len(source) > SMALL_SOURCE:
            self.outside.compile()
        self._crowd = Crowd(self.outside.takes(self.fixed))
        self.here = Rendering(
            source, date, small(self.bounds, source), SmallEnvironment, SmallTurnEnvironment
        )

    @property
    def environment(self) -> BoundedEnvironment:
        """The environment that the source is parsed in."""
        return self.here.environment

    def variables(self, conversation: Conversation, **changed: object) -> dict[str, object]:
        """What the template sees for a conversation."""
        own = {} if conversation.tools is ABSENT else {"tools": conversation.tools}
        return {**self.fixed, **own, **changed, "messages": as_given(conversation.messages)}

    def render(self, conversation: Conversation, **changed: object) -> str:
        """The text of a conversation. Raises Refused for this one, TemplateError where a bound is met."""
        variables = self.variables(conversation, **changed)
        if self.final_field is None:
            return self._render(variables)
        try:
            variables["messages"], final = tagged(as_given(conversation.messages), self.final_field)
            return cut_at_tag(self._render(variables), final)
        except NoFinalMessage as error:
            raise Refused(str(error)) from None

    def _render(self, variables: Mapping[str, object]) -> str:
        return self._by_either(lambda one: one.render(variables))

    def _by_either(self, action: Callable[[Rendering | Outside], T]) -> T:
        """Render here, where that takes little and no other thread is at it; else in another process."""
        with self._crowd as is_alone:
            if not is_alone:
                return action(self.outside)
            try:
                return action(self.here)
            except Beyond:
                return action(self.outside)

    def render_spans(self, conversation: Conversation) -> tuple[str, list[CharacterSpan]]:
        """The text, and the character spans of its `{% generation %}` blocks."""
        variables = self.variables(conversation)
        return self._by_either(lambda one: one.render_spans(variables))

    def written(self, conversation: Conversation, **changed: object) -> Written:
        """The text of a conversation, and for which message each stretch of it was written. Raises as
        `render`."""
        messages = [dict(message) for message in as_given(conversation.messages)]  # each an object of its own
        variables = self.variables(conversation, **changed) | {"messages": messages}
        return self._by_either(lambda one: one.written(variables))


def chat_template(model: ModelConfig) -> ChatTemplate:
    """The model's own template. Raises TemplateError where it is not valid."""
    return ChatTemplate(model.chat_template or "", model.special_tokens, model.template_kwargs, model.date)
