"""What rows refer to: looked at, judged, and named as the output is to name it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.errors import OutputError
from forge_gpu.io.sinks.base import Sink
from forge_gpu.job.rows.expansion import PLACE, Expanded
from forge_gpu.job.rows.media_found import Found, Hidden, found_in, kinds_of_columns
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Records, Spans
from forge_gpu.media.findings import findings
from forge_gpu.media.headers import versions
from forge_gpu.media.looker import Looker, Seen
from forge_gpu.media.marks import mapped_columns
from forge_gpu.media.placed import Embedded, Placed, name_of, section_of
from forge_gpu.media.record import spliced
from forge_gpu.media.references import Reference, Visit, in_column, in_messages
from forge_gpu.media.shelf import Shelf
from forge_gpu.media.sink import EmbeddingSink
from forge_gpu.media.sources import source_of
from forge_gpu.media.token_counts import TokenCounter
from forge_gpu.records.values import spelled_json, values_of
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.forms.source import RECORD

AT_ONCE = 256
"""Rows."""


class Media:
    """Those of a job. Several threads may use it."""

    def __init__(self, spec: JobSpec, shelf: Path, contents: Path) -> None:
        config = spec.config
        self._config, self._mode = config, config.output.media
        self._checks = config.preprocessing.quality_checks
        self._output = os.path.realpath(spec.output)
        self._is_here = spec.destination is None
        if not self._is_here and self._mode in ("link", "copy"):
            raise OutputError(
                f"output.media {self._mode} makes a folder, which is not uploaded: set embed or keep, or "
                "prepare into a folder here"
            )
        self._folders = [os.path.realpath(spec.base / each) for each in config.data.media.folders]
        self._shelf = Shelf(shelf, contents)
        self.key = f"{self._shelf.open()} {versions()}"
        is_moved = self._mode != "keep"
        self._counter = TokenCounter.of(config.model)
        checks = {self._checks.media_files, self._checks.media_size}
        reads = checks != {"off"} or self._counter is not None
        aside = self._shelf.by_content if is_moved else None
        self._sees = f"{reads} {aside is not None or config.preprocessing.dedup.media}"
        self._looker = Looker(config.preprocessing.dedup.media, aside, reads)
        self._embedded = Embedded(self._shelf.secret, self._shelf.by_content)
        self._placed = Placed(spec.output, self._shelf.by_content, self._mode == "link")

    def expand(self, config: Config, engine: Engine, records: Records) -> Expanded:
        columns = _Columns(config, records)
        place = records.columns[PLACE].raw(0).decode("utf-8", "surrogateescape") if len(records) else ""
        folders = [*([os.path.realpath(place)] if place else []), *self._folders]
        hidden = Hidden()
        for first in range(0, len(records), AT_ONCE):
            rows = slice(first, min(first + AT_ONCE, len(records)))
            hidden.add(self._rows(columns, rows, folders))
        return Expanded(np.arange(len(records)), columns.made() | hidden.made())

    def written(self, records: Records, rows: I64) -> None:
        if self._mode in ("link", "copy"):
            found = (found_in(records, row).get("named", ()) for row in rows.tolist())
            self._placed.place((sha256, name) for of_row in found for sha256, name in of_row)

    def room(self, input_bytes: int) -> int:
        """Of files that are to lie in the output, those that were seen and are not there."""
        if self._mode in ("keep", "link"):
            return 0
        sizes = {each.sha256: each.size for each in self._shelf.every() if each.sha256}
        return max(sum(sizes.values()) * (4 if self._mode == "embed" else 3) // 3 - self._placed.bytes(), 0)

    def made(self) -> int:
        return 0

    def section(self) -> dict[str, Any]:
        every = {each.sha256 for each in self._shelf.every() if each.sha256}
        return section_of(self._config.output, self._placed, every)

    def around(self, sink: Sink) -> Sink:
        return EmbeddingSink(sink, self._embedded) if self._mode == "embed" else sink

    def close(self) -> None:
        self._looker.close()

    def _rows(self, columns: _Columns, rows: slice, folders: Sequence[str]) -> list[tuple[Found, str]]:
        """Of some rows what was found; their values are made anew."""
        values = columns.values(rows)
        references: list[Reference] = []
        ends: list[int] = []

        def note(reference: Reference) -> None:
            references.append(reference)

        for row in values:
            columns.walk(row, note)
            ends.append(len(references))
        seen = self._seen(references, folders)
        found = []
        for number, (row, begin, end) in enumerate(zip(values, [0, *ends], ends, strict=False), rows.start):
            made, of_row = self._row(columns, row, references[begin:end], seen[begin:end])
            columns.take(number, row, made)
            found.append(of_row)
        return found

    def _seen(self, references: Sequence[Reference], folders: Sequence[str]) -> list[Seen]:
        if not references:
            return []
        where = "\0".join((self._sees, *folders))
        seen = self._shelf.find(references, where)
        if seen is None or (self._mode != "keep" and not all(map(self._shelf.holds, seen))):
            seen = self._looker.look([source_of(each, folders) for each in references])
            self._shelf.note(references, where, seen)
        return seen

    def _row(
        self,
        columns: _Columns,
        row: Mapping[str, Any],
        references: Sequence[Reference],
        seen: Sequence[Seen],
    ) -> tuple[Mapping[str, Any], tuple[Found, str]]:
        found = Found()
        names_of: list[str | None] = []
        for number, (reference, one) in enumerate(zip(references, seen, strict=True), 1):
            found.media += 1
            found.urls += one.state == "url"
            found.tokens += self._counter.beside(one) if self._counter is not None else 0
            for reason, detail in findings(one, reference.kind, self._checks, self._mode == "keep"):
                found.amiss.append([int(reason), f"medium {number}: {detail}"])
            name, copied = self._name(reference, one)
            names_of.append(name)
            if copied is not None:
                found.named.append([one.sha256, copied])
        names = iter(names_of)
        compared = ""
        if self._config.preprocessing.dedup.media:
            compared = "".join(
                f"{r.kind} {s.sha256 or r.text};" for r, s in zip(references, seen, strict=True)
            )
        return columns.walk(row, lambda reference: next(names)), (found, compared)

    def _name(self, reference: Reference, seen: Seen) -> tuple[str | None, str | None]:
        """(what names a medium in the output, None where it stays as it is; the file that lies there)"""
        if self._mode == "keep":
            return self._path_from_output(reference, seen), None
        if not seen.sha256:
            return None, None
        if self._mode == "embed":
            return (self._embedded.url(seen) if seen.path else None), None
        name = name_of(seen, reference)
        return name, name

    def _path_from_output(self, reference: Reference, seen: Seen) -> str | None:
        is_relative = (
            not reference.is_content and not os.path.isabs(reference.text) and "://" not in reference.text
        )
        if not (seen.is_here and seen.path and is_relative and self._is_here):
            return None
        return os.path.relpath(seen.path, self._output)


class _Columns:
    """The columns of records that refer to media: read, walked, and what is made of them."""

    def __init__(self, config: Config, records: Records) -> None:
        self._records = records
        self._kinds = kinds_of_columns(config)
        names = [*self._kinds, *(mapped_columns(config.data).values() if config.data.media.parts else ())]
        self._names = [name for name in dict.fromkeys(names) if name in records.columns]
        self._made: dict[str, list[Any]] = {name: [None] * len(records) for name in self._names}
        self._has_record = form_of(config).is_record

    def values(self, rows: slice) -> list[dict[str, Any]]:
        read = [values_of(self._records.columns[name], rows) for name in self._names]
        return [dict(zip(self._names, row, strict=True)) for row in zip(*read, strict=True)]

    def walk(self, row: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
        return {
            name: in_column(self._kinds[name], value, visit)
            if name in self._kinds
            else in_messages(value, visit)
            for name, value in row.items()
        }

    def take(self, number: int, before: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        for name, value in made.items():
            if value is not before[name]:
                self._made[name][number] = value

    def made(self) -> dict[str, Spans]:
        changed = {name: made for name, made in self._made.items() if any(each is not None for each in made)}
        result = {name: patched(self._records.columns[name], made) for name, made in changed.items()}
        if changed and self._has_record:
            record = self._records.columns[RECORD]
            rows = [
                {name: made[row] for name, made in changed.items() if made[row] is not None}
                for row in range(len(record))
            ]
            lines = [spliced(record.raw(row), each) if each else None for row, each in enumerate(rows)]
            result[RECORD] = patched(record, lines, lambda line: (line, layout.JSON))
        return result


def _spelled(value: Any) -> tuple[bytes, int]:
    return (value.encode(), layout.PLAIN) if isinstance(value, str) else (spelled_json(value), layout.JSON)


def patched(
    column: Spans, made: Sequence[Any], spelled: Callable[[Any], tuple[bytes, int]] = _spelled
) -> Spans:
    """A column with other values where `made` has some."""
    rows = [row for row, value in enumerate(made) if value is not None]
    texts = [spelled(made[row]) for row in rows]
    length = np.array([len(text) for text, _ in texts], np.int64)
    start, lengths, kind = column.start.copy(), column.length.copy(), column.kind.copy()
    start[rows] = np.cumsum(length) - length + len(column.data)
    lengths[rows], kind[rows] = length, [each for _, each in texts]
    data = np.frombuffer(b"".join(text for text, _ in texts), np.uint8)
    return Spans(np.concatenate((column.data, data)), start, lengths, kind)
