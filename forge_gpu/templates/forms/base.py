"""What `output.form` names: one object a form. Everything that depends on what is written asks it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from forge_gpu.config.schema import Config
from forge_gpu.templates.lines import Field, key_program, line_program
from forge_gpu.templates.program import Program
from forge_gpu.templates.renderer import Renderer
from forge_gpu.templates.shapes.base import RecordShape


class Form(ABC):
    """is_rendered: its fields hold what a template wrote. is_record: a line is the record as it came, so
    every column is read, and the output has none of its own. is_encoded: its fields are tokens, made of what
    a template wrote."""

    name: ClassVar[str]
    is_rendered: ClassVar[bool] = False
    is_record: ClassVar[bool] = False
    is_encoded: ClassVar[bool] = False

    @abstractmethod
    def fields(self, config: Config) -> tuple[Field, ...]:
        """What a line has before the columns of the input, in this order."""

    def rendered(self, config: Config) -> tuple[Field, ...]:
        """What is rendered of a row, and makes it a duplicate of another."""
        return self.fields(config)

    @abstractmethod
    def renderer(self, config: Config) -> Renderer:
        """What renders the fields. Raises ConfigError or TemplateError where template and form do not fit."""

    def misfit(self, shape: RecordShape) -> str | None:
        """Why records of this shape cannot be written so, and what to do; None where they can."""
        return self.not_of_pairs(shape.name) if shape.is_pair else None

    def not_of_pairs(self, shape: str) -> str:
        return (
            f"output.form {self.name!r} does not fit data.mapping.shape {shape!r}: "
            "preference data is written in the form preference or source, and nothing else is"
        )

    def spans_fault(self, config: Config) -> str | None:
        """Why `output.spans`, where it is set, does not go with the form."""
        if not config.output.spans:
            return None
        return f"spans are spans of the text: they need form text, and it is {self.name}"

    def turns_fault(self, config: Config) -> str | None:
        """Why `output.turns: each`, where it is set, does not go with the form or the records."""
        if config.output.turns == "all":
            return None
        if self.is_record:
            return (
                f"output.turns each does not go with output.form {self.name}: it writes records as they came"
            )
        shape = config.data.mapping.shape
        return (
            None if shape == "conversation" else f"output.turns each needs conversations, not {shape} records"
        )

    def columns_fault(self, config: Config) -> str | None:
        """Why `output.columns` does not go with the fields."""
        fields = {field.name for field in self.fields(config)}
        clash = next((column for column in config.output.columns if column in fields), None)
        if clash is None:
            return None
        return f"{clash!r} is a field that the form {self.name} writes already; leave the column out"

    def line(self, config: Config, programs: Sequence[Program]) -> Program:
        """One line of the output. programs: one a field that is rendered; none where they are encoded."""
        return line_program(self.fields(config), config.output.columns, programs)

    def key(self, config: Config, columns: Sequence[str], programs: Sequence[Program]) -> Program:
        """What makes two rows duplicates. columns: those of the records that the renderer reads."""
        return key_program(self.rendered(config), config.data.mapping.label, programs)
