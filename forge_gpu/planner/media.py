"""What a sample refers to besides texts: which columns, which parts, and whether the files are here."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from forge_gpu.io.inputs import InputFile
from forge_gpu.media.looker import kind_of
from forge_gpu.media.marks import kinds
from forge_gpu.media.references import FILES, Reference, in_column, in_messages
from forge_gpu.media.sources import File, source_of
from forge_gpu.plain import frozen
from forge_gpu.planner.mapping import Picked
from forge_gpu.planner.sample import Sample
from forge_gpu.records.paths import value_at
from forge_gpu.records.values import ABSENT, json_text

MOST = 256
"""Media of a sample that are looked for."""
_EDGE = 64
"""Characters of base64 that tell what a file is."""


@frozen
class SampledMedia:
    """marked: kind -> the column that texts name by marks. beside: other columns of media -> their kind.
    parts: whether parts of messages bring their own. files: paths that were looked for; here: those that are
    there."""

    marked: Mapping[str, str]
    beside: Mapping[str, str]
    parts: bool
    files: int = 0
    here: int = 0

    @property
    def is_any(self) -> bool:
        return bool(self.marked or self.beside or self.parts)


def sampled_media(samples: Sequence[Sample], picked: Picked, folders: Sequence[str]) -> SampledMedia:
    """folders: where paths are looked up behind the folders of the data."""
    records = [record for sample in samples for record in sample.records]
    marked = named_media(records, picked)
    beside = {
        column: kind
        for column, kind in picked.media.items()
        if column not in marked.values() and any(_of_column(record, column, kind) for record in records)
    }
    parts = any(any(_of_parts(record, picked)) for record in records)
    held = SampledMedia(marked, beside, parts)
    asked = [
        source
        for sample in samples
        for reference in _references(sample.records, picked, held)
        if isinstance(source := source_of(reference, [*_folder_of(sample.file), *folders]), File)
    ]
    here = sum(source.path is not None and os.path.isfile(source.path) for source in asked)
    return SampledMedia(marked, beside, parts, len(asked), here)


def named_media(records: Sequence[Mapping[str, Any]], picked: Picked) -> dict[str, str]:
    """Kind of media -> the column of it that comes first, of the kinds that a text names."""
    result: dict[str, str] = {}
    for column, kind in picked.media.items():
        if kind in kinds() and kind not in result and any(_names(record, kind, picked) for record in records):
            result[kind] = column
    return result


def media_by_value(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Columns whose values are files as `datasets` has them, whatever they are called -> their kind."""
    result: dict[str, str] = {}
    for record in records:
        for name, value in record.items():
            first = value[0] if isinstance(value, list) and value else value
            if name not in result and isinstance(first, dict) and first and first.keys() <= {"bytes", "path"}:
                result[name] = _kind_of_value(first)
    return result


def _kind_of_value(value: Mapping[str, Any]) -> str:
    content = value.get("bytes")
    try:
        return kind_of(b64decode(content[:_EDGE]))[0] or FILES if isinstance(content, str) else FILES
    except ValueError:
        return FILES


def _names(record: Mapping[str, Any], kind: str, picked: Picked) -> bool:
    values = (value_at(record, column) for column in picked.columns.values())
    return any(value is not ABSENT and kinds()[kind].named_in(json_text(value)) for value in values)


def _of_column(record: Mapping[str, Any], column: str, kind: str) -> list[Reference]:
    references: list[Reference] = []
    in_column(kind, value_at(record, column), references.append)
    return references


def _of_parts(record: Mapping[str, Any], picked: Picked) -> list[Reference]:
    references: list[Reference] = []
    for column in picked.columns.values():
        value = value_at(record, column)
        if value is not ABSENT:
            in_messages(value, references.append)
    return references


def _references(
    records: Sequence[Mapping[str, Any]], picked: Picked, held: SampledMedia
) -> Iterator[Reference]:
    columns = {**{column: kind for kind, column in held.marked.items()}, **held.beside}
    left = MOST
    for record in records:
        of_record = [each for name, kind in columns.items() for each in _of_column(record, name, kind)]
        of_record += _of_parts(record, picked)
        yield from of_record[:left]
        left -= len(of_record)
        if left <= 0:
            return


def _folder_of(file: InputFile) -> list[str]:
    return [] if file.is_remote else [os.path.realpath(Path(file.url).parent)]
