"""The form `preference`: a prompt, and what follows it in the better and in the worse answer."""

from __future__ import annotations

from forge_gpu.config.schema import Config
from forge_gpu.templates.fields import split_at, substitute
from forge_gpu.templates.forms.rendered import RenderedForm
from forge_gpu.templates.lines import Field
from forge_gpu.templates.program import Program, Slot
from forge_gpu.templates.shapes.base import RecordShape

ANSWERS = ("chosen", "rejected")


class PreferenceForm(RenderedForm):
    name = "preference"

    def fields(self, config: Config) -> tuple[Field, ...]:
        return (Field("prompt"), *map(Field, ANSWERS))

    def misfit(self, shape: RecordShape) -> str | None:
        return None if shape.is_pair else self.not_of_pairs(shape.name)

    def cut(self, program: Program, response: str) -> dict[str, Program]:
        prompt, completion = split_at(program, response)
        sides = {side: substitute(completion, {response: (Slot(side),)}) for side in ANSWERS}
        return {"prompt": prompt, **sides}


FORM = PreferenceForm()
