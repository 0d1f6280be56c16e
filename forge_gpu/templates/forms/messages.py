"""The form `messages`: the conversation as a list of OpenAI messages, for a trainer that has the template."""

from __future__ import annotations

from forge_gpu.config.schema import Config, Mapping
from forge_gpu.templates.fields import ColumnsRenderer, message_list, query_parts
from forge_gpu.templates.forms.base import Form
from forge_gpu.templates.lines import Field
from forge_gpu.templates.message_fields import MessagesRenderer
from forge_gpu.templates.program import Slot
from forge_gpu.templates.renderer import Renderer
from forge_gpu.templates.roles import own_roles
from forge_gpu.templates.shapes import shape_of
from forge_gpu.templates.shapes.base import RecordShape


class MessagesForm(Form):
    name = "messages"

    def fields(self, config: Config) -> tuple[Field, ...]:
        messages = Field(_name_of(shape_of(config.data.mapping)), "json")
        if config.data.mapping.tools is None:
            return (messages,)
        return (messages, Field("tools", "json", may_be_null=True))

    def misfit(self, shape: RecordShape) -> str | None:
        if not shape.has_turns:
            return (
                "output.form messages needs data.mapping.shape flat, conversation or prompt, not "
                f"{shape.name}"
            )
        return super().misfit(shape)

    def renderer(self, config: Config) -> Renderer:
        mapping, shape = config.data.mapping, shape_of(config.data.mapping)
        if shape.in_columns or mapping.messages is None:
            return _of_columns(mapping, shape)
        return MessagesRenderer(
            shape.sides(mapping, own_roles(config.model))[0],
            mapping.messages,
            mapping.tools,
            _name_of(shape),
        )


def _name_of(shape: RecordShape) -> str:
    """The field, as TRL calls it: messages that end with an answer, or the prompt for one."""
    return "prompt" if shape.is_prompt else "messages"


def _of_columns(mapping: Mapping, shape: RecordShape) -> Renderer:
    query, response, field = mapping.query or "", mapping.response or "", _name_of(shape)
    contents = shape.contents(mapping)
    messages = [("user", query_parts(query, mapping.input))]
    if not shape.is_prompt:
        messages.append(("assistant", (Slot(response),)))
    return ColumnsRenderer(
        {field: message_list(messages, mapping.system)},
        needed=(query,) if shape.is_prompt else (query, response),
        optional=tuple(name for name in (mapping.input, mapping.system) if name is not None),
        contents=contents,
        json_fields=frozenset((field,)),
        texts=tuple(contents.values()),
    )


FORM = MessagesForm()
