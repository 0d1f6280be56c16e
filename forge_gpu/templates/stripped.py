"""Texts without the tokens that a tokenizer puts around them: what `output.bos` and `output.eos` strip.

Only what a template wrote is taken: a literal of a program, or the ends of a text that it wrote as a whole.
Behind the token at the end, white space goes too, for a trainer asks whether a text ends with it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Spans
from forge_gpu.plain import frozen
from forge_gpu.templates.builtin import builtin
from forge_gpu.templates.lines import Field
from forge_gpu.templates.program import Literal, Part, Program, Slot

WITHOUT_BEGIN, WITHOUT_END = " without what it begins with", " without what it ends with"
"""Behind the name of a column: a text that a template wrote, stripped."""
WHITE = np.frombuffer(b" \t\r\n", np.uint8)


@frozen
class Stripped:
    """bos, eos: what is taken from the begin of the first field, and from the end of the last ones; empty
    where they stay."""

    bos: bytes
    eos: bytes

    @classmethod
    def of(cls, config: Config) -> Stripped:
        """Raises ConfigError where the plan does not say which token it is."""
        output = config.output
        return cls(
            _token(config, "bos") if output.bos == "strip" else b"",
            _token(config, "eos") if output.eos == "strip" else b"",
        )

    def __bool__(self) -> bool:
        return bool(self.bos or self.eos)

    def programs(
        self, fields: Sequence[Field], programs: Sequence[Program], whole_texts: Collection[str]
    ) -> list[Program]:
        """Of each field. whole_texts: columns of texts that a template wrote, literals and contents
        together."""
        return [self.program(fields, *each, whole_texts) for each in enumerate(programs)]

    def program(
        self, fields: Sequence[Field], number: int, program: Program, whole_texts: Collection[str]
    ) -> Program:
        """As `programs`, of one of the fields."""
        texts = [place for place, field in enumerate(fields) if not field.is_json]
        if number not in texts:
            return program
        if self.bos and number == texts[0]:
            program = self._without_begin(program, whole_texts)
        if self.eos and (number > texts[0] or len(texts) == 1):
            program = self._without_end(program, whole_texts)
        return program

    def column_of(self, name: str) -> str:
        """The column that a stripped one is made of."""
        return name.replace(WITHOUT_BEGIN, "").replace(WITHOUT_END, "")

    def column(self, name: str, column: Spans) -> Spans:
        """A column that the programs name, made of the one that `column_of` names."""
        start, length = column.start, column.length
        if WITHOUT_BEGIN in name:
            size = _holds_at(column, start, length, self.bos) * len(self.bos)
            start, length = start + size, length - size
        if WITHOUT_END in name:
            trimmed = _trimmed(column, start, length)
            ends = _holds_at(column, start + trimmed - len(self.eos), trimmed, self.eos)
            length = np.where(ends, trimmed - len(self.eos), length)
        return column.over(start, length, column.kind)

    def _without_begin(self, program: Program, whole_texts: Collection[str]) -> Program:
        first, rest = program[0] if program else None, program[1:]
        if isinstance(first, Slot) and first.column in whole_texts:
            return (Slot(first.column + WITHOUT_BEGIN), *rest)
        if isinstance(first, Literal) and first.text.startswith(self.bos):
            return (Literal(first.text[len(self.bos) :]), *rest)
        return program

    def _without_end(self, program: Program, whole_texts: Collection[str]) -> Program:
        last, rest = program[-1] if program else None, program[:-1]
        if isinstance(last, Slot) and self.column_of(last.column) in whole_texts:
            return (*rest, Slot(last.column + WITHOUT_END))
        if isinstance(last, Literal) and last.text.rstrip(WHITE.tobytes()).endswith(self.eos):
            text = last.text.rstrip(WHITE.tobytes())
            parts: tuple[Part, ...] = (*rest, Literal(text[: -len(self.eos)]))
            return parts
        return program


def _token(config: Config, name: str) -> bytes:
    token = config.model.special_tokens.get(f"{name}_token")
    if token is None and config.model.template_kind == "builtin" and name == "eos":
        token = builtin(config.model.chat_template or "").eos
    if not token:
        raise ConfigError(f"output.{name} strip needs model.special_tokens.{name}_token: the token that goes")
    return token.encode()


def _holds_at(column: Spans, at: I64, length: I64, token: bytes) -> np.ndarray:
    """bool[n]: texts that hold the token at a place of the data. length: bytes that they have from their
    start."""
    holds = (length >= len(token)) & np.isin(column.kind, layout.TEXTS)
    for number, byte in enumerate(token):
        rows = np.flatnonzero(holds)
        holds[rows] = column.data[at[rows] + number] == byte
    return holds


def _trimmed(column: Spans, start: I64, length: I64) -> I64:
    """The length of each text without the white space at its end."""
    trimmed = length.copy()
    rows = np.flatnonzero((length > 0) & np.isin(column.kind, layout.TEXTS))
    while len(rows):
        rows = rows[np.isin(column.data[start[rows] + trimmed[rows] - 1], WHITE)]
        trimmed[rows] -= 1
        rows = rows[trimmed[rows] > 0]
    return trimmed
