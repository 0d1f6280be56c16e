"""The renderer of the form `source`: nothing is rendered, rows are only looked at for checks and dedup."""

from __future__ import annotations

from dataclasses import dataclass

from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.kernels.layout import Records, Spans
from forge_gpu.templates.contents import contents_by_role
from forge_gpu.templates.conversations import Shape, detail_of
from forge_gpu.templates.program import Program
from forge_gpu.templates.renderer import Bound


@dataclass
class SourceRenderer:
    """shapes: the conversation of a record, or the two sides of a preference pair."""

    shapes: tuple[Shape, ...]
    fields: tuple[str, ...] = ()
    json_fields: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.programs: list[Program] = []

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for shape in self.shapes for name in shape.columns))

    def bind(self, records: Records, engine: Engine) -> Bound:
        sides = [shape.read(records, engine) for shape in self.shapes]
        answers = ("response",) if len(sides) == 1 else ("chosen", "rejected")
        texts: dict[str, Spans] = {}
        reason = sides[0].reason
        for side, answer in zip(sides, answers, strict=True):
            query, texts[answer] = contents_by_role(side, engine)
            texts.setdefault("query", query)
            reason = reason + side.reason * (reason == Reason.NONE)
        return Bound(self.programs, {}, {}, reason, lambda: texts, detail=lambda row: detail_of(sides, row))
