"""The form `prompt_completion`: what the template writes, cut where the answer begins."""

from __future__ import annotations

from forge_gpu.config.schema import Config
from forge_gpu.templates.fields import split_at
from forge_gpu.templates.forms.rendered import RenderedForm
from forge_gpu.templates.lines import Field
from forge_gpu.templates.program import Program
from forge_gpu.templates.shapes.base import RecordShape


class PromptCompletionForm(RenderedForm):
    name = "prompt_completion"

    def fields(self, config: Config) -> tuple[Field, ...]:
        return (Field("prompt"), Field("completion"))

    def misfit(self, shape: RecordShape) -> str | None:
        if shape.only_text:
            return (
                f"records with nothing but a text cannot be written in the form {self.name!r}; "
                "set output.form to text or source"
            )
        return super().misfit(shape)

    def cut(self, program: Program, response: str) -> dict[str, Program]:
        prompt, completion = split_at(program, response)
        return {"prompt": prompt, "completion": completion}


FORM = PromptCompletionForm()
