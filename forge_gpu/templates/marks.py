"""Programs that say, in what they write, what is the template's own: marks are bytes that no text holds."""

from __future__ import annotations

from collections.abc import Collection

from forge_gpu.kernels.token_layout import RUN, RUN_END, TRAINED, TRAINED_END, UNKNOWN
from forge_gpu.templates.program import Literal, LiteralIfText, Part, Program, Slot, TrainedMark


def marked(program: Program, whole_texts: Collection[str]) -> Program:
    """The program with marks around its literals. whole_texts: columns of texts that a template wrote, its
    literals and the row's contents together: such rows are marked as of unknown origin."""
    parts: list[Part] = []
    inside = False
    for part in program:
        if isinstance(part, TrainedMark):
            parts.append(_mark(TRAINED if part.begins else TRAINED_END))
            continue
        literal = isinstance(part, Literal | LiteralIfText)
        if literal != inside:
            parts.append(_mark(RUN if literal else RUN_END))
            inside = literal
        if isinstance(part, Slot) and part.column in whole_texts:
            parts.append(_mark(UNKNOWN))
        parts.append(part)
    return (*parts, _mark(RUN_END)) if inside else tuple(parts)


def trained(program: Program) -> Program:
    """The program with marks around all of it: it is to be learned."""
    return (_mark(TRAINED), *program, _mark(TRAINED_END))


def _mark(byte: int) -> Literal:
    return Literal(bytes([byte]))
