"""The form `tokens`: the ids of what the template writes, and which of them are trained."""

from __future__ import annotations

from collections.abc import Sequence

from forge_gpu.config.schema import Config
from forge_gpu.io.sinks.registry import OF_TOKENS
from forge_gpu.io.sinks.token_columns import ATTENTION, IDS, LABELS, LENGTHS
from forge_gpu.templates.fields import split_at
from forge_gpu.templates.forms.preference import FORM as PREFERENCE
from forge_gpu.templates.forms.prompt import FORM as PROMPT
from forge_gpu.templates.forms.rendered import RenderedForm, writes_turns
from forge_gpu.templates.lines import Field, line_program
from forge_gpu.templates.program import Program, RawSlot
from forge_gpu.templates.renderer import Renderer, own
from forge_gpu.templates.shapes import shape_of
from forge_gpu.templates.shapes.base import RecordShape

PROMPT_IDS = "prompt_ids"
ANSWER_IDS = {"completion": "completion_ids", "chosen": "chosen_ids", "rejected": "rejected_ids"}
"""Of each answer that stands apart: the field of its ids. TRL's trainers and collators call them so."""
TEXT = (Field("text", may_be_empty=False), Field("spans", "json", may_be_null=True))
"""Of a template that writes turns: where the assistant speaks is told beside the text."""
PARTED = (Field("prompt"), Field("completion"))
"""Of other templates: all that follows the prompt is trained."""


class TokensForm(RenderedForm):
    name = "tokens"
    is_encoded = True

    def fields(self, config: Config) -> tuple[Field, ...]:
        answers = answers_of(config)
        if answers:
            return tuple(Field(name, "ids") for name in (PROMPT_IDS, *(ANSWER_IDS[name] for name in answers)))
        if prompt_alone(config):
            return (Field(PROMPT_IDS, "ids"),)
        holds = OF_TOKENS.get(config.output.format)
        if holds is not None and not holds.labels:
            return (Field(IDS, "ids"),)
        masked = any(trainer in ("axolotl", "hf") for trainer in config.output.trainers)
        names = (IDS, ATTENTION, LABELS) if masked else (IDS, LABELS)
        if config.output.packing == "bfd":
            names = (*names, LENGTHS)
        return tuple(Field(name, "ids") for name in names)

    def rendered(self, config: Config) -> tuple[Field, ...]:
        if answers_of(config):
            return (Field("prompt"), *map(Field, answers_of(config)))
        if shape_of(config.data.mapping).is_prompt:
            return PROMPT.fields(config)
        return TEXT if writes_turns(config) and not prompt_alone(config) else PARTED

    def misfit(self, shape: RecordShape) -> str | None:
        return None

    def renderer(self, config: Config) -> Renderer:
        """Pairs are rendered as the form `preference` renders them, prompts as the form `prompt` does."""
        shape = shape_of(config.data.mapping)
        if shape.is_prompt:
            return PROMPT.renderer(config)
        return PREFERENCE.renderer(config) if shape.is_pair else super().renderer(config)

    def columns_fault(self, config: Config) -> str | None:
        if config.output.columns and "axolotl" in config.output.trainers:
            return "axolotl takes tokens without any other column; leave output.columns empty"
        return super().columns_fault(config)

    def cut(self, program: Program, response: str) -> dict[str, Program]:
        prompt, completion = split_at(program, response)
        return {"prompt": prompt, "completion": completion}

    def line(self, config: Config, programs: Sequence[Program]) -> Program:
        fields = self.fields(config)
        return line_program(fields, config.output.columns, [(RawSlot(own(field.name)),) for field in fields])


def answers_of(config: Config) -> tuple[str, ...]:
    """The answers whose ids stand apart from those of the prompt; none where labels say what is trained."""
    answers = shape_of(config.data.mapping).answers
    if len(answers) == 2:
        return answers
    return ("completion",) if config.tokens.answers == "apart" else ()


def prompt_alone(config: Config) -> bool:
    """Whether nothing but prompts becomes tokens."""
    return config.tokens.answers == "none"


FORM = TokensForm()
