"""The form `source`: each record as it came. Nothing is rendered; rows are looked at for checks and dedup."""

from __future__ import annotations

from collections.abc import Sequence

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.kernels.layout import Records
from forge_gpu.plain import mutable
from forge_gpu.templates.contents import Contents, texts_by_role
from forge_gpu.templates.conversations import Shape, detail_of
from forge_gpu.templates.fields import ColumnsRenderer
from forge_gpu.templates.forms.base import Form
from forge_gpu.templates.lines import Field, column_key, key_program
from forge_gpu.templates.program import Literal, Program, RawSlot
from forge_gpu.templates.renderer import Bound, Renderer, own
from forge_gpu.templates.roles import own_roles
from forge_gpu.templates.shapes import shape_of
from forge_gpu.templates.shapes.base import RecordShape

RECORD = own("record")
"""The column that holds the whole record, as JSON."""


class SourceForm(Form):
    name = "source"
    is_record = True

    def fields(self, config: Config) -> tuple[Field, ...]:
        return ()

    def misfit(self, shape: RecordShape) -> None:
        return None

    def renderer(self, config: Config) -> Renderer:
        mapping, shape = config.data.mapping, shape_of(config.data.mapping)
        if not shape.in_columns:
            return SourceRenderer(shape.sides(mapping, own_roles(config.model)), shape.answers)
        contents = shape.contents(mapping)
        needed = tuple(column for role, column in contents.items() if role in ("query", "response", "text"))
        return ColumnsRenderer({}, needed, tuple(contents.values()), contents=contents)

    def line(self, config: Config, programs: Sequence[Program]) -> Program:
        return (RawSlot(RECORD), Literal(b"\n"))

    def key(self, config: Config, columns: Sequence[str], programs: Sequence[Program]) -> Program:
        """The columns that the checks look at stand for the record."""
        return key_program((Field("record", "json"),), config.data.mapping.label, [column_key(columns)])


@mutable
class SourceRenderer:
    """shapes: the conversation of a record, or the two sides of a preference pair. answers: a role each,
    none of a prompt."""

    shapes: tuple[Shape, ...]
    answers: tuple[str, ...]
    fields: tuple[str, ...] = ()
    json_fields: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.programs: list[Program] = []
        self._contents = [Contents(getattr(shape, "renamed", {})) for shape in self.shapes]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for shape in self.shapes for name in shape.columns))

    def bind(self, records: Records, engine: Engine) -> Bound:
        sides = [shape.read(records, engine) for shape in self.shapes]
        reason = sides[0].reason
        texts = texts_by_role(sides, self._contents, self.answers, engine)
        for side in sides:
            reason = reason + side.reason * (reason == Reason.NONE)
        return Bound(self.programs, {}, {}, reason, lambda: texts, detail=lambda row: detail_of(sides, row))


FORM = SourceForm()
