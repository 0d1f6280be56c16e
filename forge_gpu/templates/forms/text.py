"""The form `text`: all that the template writes, in one field."""

from __future__ import annotations

from forge_gpu.config.schema import Config
from forge_gpu.templates.forms.rendered import RenderedForm
from forge_gpu.templates.lines import Field
from forge_gpu.templates.program import Program


class TextForm(RenderedForm):
    name = "text"
    is_cut = False

    def fields(self, config: Config) -> tuple[Field, ...]:
        text = Field("text", may_be_empty=False)
        return (text, Field("spans", "json", may_be_null=True)) if config.output.spans else (text,)

    def spans_fault(self, config: Config) -> None:
        return None

    def cut(self, program: Program, response: str) -> dict[str, Program]:
        return {"text": program}


FORM = TextForm()
