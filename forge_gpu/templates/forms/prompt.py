"""The form `prompt`: what the template writes of a prompt, up to where the answer is to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forge_gpu.config.schema import Config
from forge_gpu.errors import TemplateError
from forge_gpu.templates.builtin import builtin
from forge_gpu.templates.fields import ColumnsRenderer, query_parts
from forge_gpu.templates.forms.rendered import RenderedForm
from forge_gpu.templates.lines import Field
from forge_gpu.templates.program import Program
from forge_gpu.templates.renderer import Renderer
from forge_gpu.templates.roles import own_roles
from forge_gpu.templates.shapes import shape_of
from forge_gpu.templates.shapes.base import RecordShape

if TYPE_CHECKING:
    from forge_gpu.templates.environment import ChatTemplate

ASKING = {"add_generation_prompt": True}


class PromptForm(RenderedForm):
    name = "prompt"
    is_cut = False

    def fields(self, config: Config) -> tuple[Field, ...]:
        return (Field("prompt", may_be_empty=False),)

    def misfit(self, shape: RecordShape) -> str | None:
        if shape.is_prompt:
            return None
        return (
            f"output.form {self.name} writes prompts without answers, and records of the shape {shape.name} "
            "have some; set data.mapping.shape to prompt, or output.form to prompt_completion"
        )

    def cut(self, program: Program, response: str) -> dict[str, Program]:
        return {"prompt": program}

    def renderer(self, config: Config) -> Renderer:
        if config.model.template_kind == "format":
            return self._of_format(config)
        if config.model.template_kind == "none":
            return _as_it_is(config)
        sides = shape_of(config.data.mapping).sides(config.data.mapping, own_roles(config.model))
        return self._of_turns(config, _asking(config), sides)


def _asking(config: Config) -> ChatTemplate:
    """The chat template, which writes how an answer begins."""
    from forge_gpu.templates.environment import chat_template

    if config.model.template_kind == "builtin":
        return builtin(config.model.chat_template or "").chat_template(add_generation_prompt=True)
    given = {**config.model.template_kwargs, **ASKING}
    return chat_template(config.model.model_copy(update={"template_kwargs": given}))


def _as_it_is(config: Config) -> Renderer:
    mapping = config.data.mapping
    if mapping.query is None or mapping.system is not None:
        raise TemplateError(
            "output.form prompt needs a template for messages and system prompts: set model.chat_template "
            "and model.template_kind, or output.form to messages"
        )
    contents = shape_of(mapping).contents(mapping)
    return ColumnsRenderer(
        {"prompt": query_parts(mapping.query, mapping.input)},
        needed=(mapping.query,),
        optional=() if mapping.input is None else (mapping.input,),
        contents=contents,
        texts=tuple(contents.values()),
    )


FORM = PromptForm()
