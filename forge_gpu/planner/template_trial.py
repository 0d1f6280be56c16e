"""A plan's template tried on its data: its programs, one row, or every row against the oracle.

The oracle of a Jinja template is Jinja itself, row by row; of any other template the plain-Python renderer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.errors import InputError, TemplateError
from forge_gpu.fates import Reason, name
from forge_gpu.io.dialects import Dialect
from forge_gpu.io.inputs import resolve
from forge_gpu.io.linked import Links
from forge_gpu.io.sources import open_source
from forge_gpu.io.spool import Spool
from forge_gpu.job.rows.rows import RowReader, Rows
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Text
from forge_gpu.kernels.reference.render import render as plain_render
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.plain import mutable
from forge_gpu.templates.guard import difference
from forge_gpu.templates.program import (
    Literal,
    LiteralIfPresent,
    LiteralIfText,
    Part,
    Program,
    Slot,
    TrainedMark,
    pack,
)
from forge_gpu.templates.renderer import Renderer

CHUNK_BYTES = 8 * 2**20
Render = Callable[[Rows, str, I64], Text]


@mutable
class Trial:
    """What came of the rows. programs: field -> program -> rows. refused: (reason, detail) -> rows."""

    rows: int = 0
    compared: int = 0
    programs: dict[str, Counter[int]] = field(default_factory=dict)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, rows: Rows, fields: Sequence[str]) -> None:
        """Add a chunk."""
        self.rows += len(rows)
        good = rows.bound.reason == Reason.NONE
        for name_ in fields:
            numbers, counts = np.unique(rows.bound.program[name_][good], return_counts=True)
            self.programs.setdefault(name_, Counter()).update(
                dict(zip(numbers.tolist(), counts.tolist(), strict=True))
            )
        for row in np.flatnonzero(~good).tolist():
            self.refused[name(Reason(rows.bound.reason[row])), rows.bound.detail(row)] += 1


def try_programs(spec: JobSpec, engine: Engine) -> tuple[Renderer, Trial]:
    """Bind every row of the plan's data, and count. Raises ForgeError."""
    reader, trial = RowReader(spec.config, engine), Trial()
    for rows in read_rows(spec, reader):
        trial.count(rows, reader.renderer.fields)
    return reader.renderer, trial


def try_row(
    spec: JobSpec, engines: tuple[Engine, Engine], number: int
) -> tuple[dict[str, str], dict[str, str]]:
    """The fields of one row (from 1, over all inputs) as they are written, and as the oracle has them.

    A row that is refused has one field, `refused`. Raises InputError where there is no such row.
    """
    seen = 0
    for rows, oracle, render, true_render in _pairs(spec, engines):
        if number <= seen + len(rows):
            row = number - seen - 1
            return _fields_of(rows, render, row), _fields_of(oracle, true_render, row)
        seen += len(rows)
    raise InputError(f"there is no row {number}: the input has {seen}")


def check_rows(spec: JobSpec, engines: tuple[Engine, Engine]) -> Trial:
    """Compare every row with the oracle. Raises TemplateError at the first row that differs."""
    trial = Trial()
    for rows, oracle, render, true_render in _pairs(spec, engines):
        good = rows.bound.reason == Reason.NONE
        if (rows.bound.reason != oracle.bound.reason).any():
            row = int((rows.bound.reason != oracle.bound.reason).argmax())
            one, other = _fields_of(oracle, true_render, row), _fields_of(rows, render, row)
            raise TemplateError(_differs(trial.rows + row, one, other))
        chosen = np.flatnonzero(good)
        for name_ in rows.bound.program:
            result, expected = render(rows, name_, chosen), true_render(oracle, name_, chosen)
            for place, row in enumerate(chosen.tolist()):
                if result.row(place) != expected.row(place):
                    one, other = {name_: expected.row(place).decode()}, {name_: result.row(place).decode()}
                    raise TemplateError(_differs(trial.rows + row, one, other))
        trial.count(rows, tuple(rows.bound.program))
        trial.compared += len(chosen)
    return trial


def _differs(row: int, expected: dict[str, str], got: dict[str, str]) -> str:
    return f"row {row + 1}: {difference(tuple(expected.values()), tuple(got.values()), None)}"


def _fields_of(rows: Rows, render: Render, row: int) -> dict[str, str]:
    if rows.bound.reason[row]:
        reason = name(Reason(rows.bound.reason[row]))
        return {"refused": ": ".join(filter(None, (reason, rows.bound.detail(row))))}
    one = np.array([row], np.int64)
    return {name_: render(rows, name_, one).row(0).decode() for name_ in rows.bound.program}


def _pairs(spec: JobSpec, engines: tuple[Engine, Engine]) -> Iterator[tuple[Rows, Rows, Render, Render]]:
    """Each chunk as the job binds it and as the oracle does, with how to render either."""
    model = spec.config.model.model_copy(update={"compile": False})
    plain = spec.config.model_copy(update={"model": model})
    mine, oracle = RowReader(spec.config, engines[0]), RowReader(plain, engines[1])
    jinja = spec.config.model.template_kind == "jinja"

    def by_engine(reader: RowReader) -> Render:
        return lambda rows, name_, chosen: _render(reader.engine.render, reader, rows, name_, chosen)

    def by_reference(rows: Rows, name_: str, chosen: I64) -> Text:
        return _render(partial(plain_render, scratch=Scratch()), oracle, rows, name_, chosen)

    for chunk in _chunks(spec, mine):
        rows = mine.read(chunk, judge=False)
        yield (
            rows,
            oracle.read(chunk, judge=False),
            by_engine(mine),
            by_engine(oracle) if jinja else by_reference,
        )


def _render(run: Callable[..., Text], reader: RowReader, rows: Rows, name_: str, chosen: I64) -> Text:
    bound = rows.bound
    table = pack(bound.programs, bound.message_columns)
    encoding = layout.AS_JSON if name_ in reader.renderer.json_fields else layout.AS_TEXT
    columns = [bound.columns[column] for column in table.columns]
    return run(table, bound.program[name_], columns, chosen, encoding, bound.first)


def read_rows(spec: JobSpec, reader: RowReader) -> Iterator[Rows]:
    for chunk in _chunks(spec, reader):
        yield reader.read(chunk, judge=False)


def _chunks(spec: JobSpec, reader: RowReader) -> Iterator:  # type: ignore[type-arg]
    """The chunks of the plan's inputs, one after another."""
    data = spec.config.data
    with TemporaryDirectory(prefix="forge-template-") as folder:
        spool = Spool(Path(folder))
        for file in resolve(data.inputs, spec.base):
            source = open_source(
                file,
                data.format,
                data.encoding,
                spool=spool,
                on_corrupt=data.on_corrupt,
                max_row_bytes=data.max_row_bytes,
                dialect=Dialect.of(data.dialect),
                links=Links.of(data.linked),
            )
            with closing(source):
                for part in source.ranges:
                    yield from source.read(part, CHUNK_BYTES, columns=reader.keys_of_tables)


def shown(program: Program) -> str:
    """A program on one line: literals in quotes, columns in braces."""
    return " ".join(_shown(part) for part in program)


def _shown(part: Part) -> str:
    if isinstance(part, TrainedMark):
        return "[trained:" if part.begins else "]"
    column = "" if isinstance(part, Literal) else part.column.removeprefix("\0")
    match part:
        case Literal(text):
            return repr(text.decode("utf-8", "replace"))
        case LiteralIfText(text) | LiteralIfPresent(text):
            return f"[{text.decode('utf-8', 'replace')!r} where {{{column}}}]"
        case Slot() if part.element or column.startswith("content"):
            return f"{{{part.element}: {column}}}"
        case _:
            return f"{{{column}}}"
