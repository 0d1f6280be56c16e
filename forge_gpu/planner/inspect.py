"""A look at the data: its files, columns, rows and lengths, and what each record is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from forge_gpu.errors import InputError
from forge_gpu.io.dialects import Dialect
from forge_gpu.io.inputs import InputFile, resolve
from forge_gpu.io.linked import Links
from forge_gpu.plain import frozen, mutable
from forge_gpu.planner.columns import Column, columns_of, with_paths
from forge_gpu.planner.convert import converted, made_columns
from forge_gpu.planner.encodings import Encoding, find_encoding
from forge_gpu.planner.linked import linked, links_of
from forge_gpu.planner.mapping import FIELDS, Picked, pick
from forge_gpu.planner.media import media_by_value
from forge_gpu.planner.sample import Sample, sample, spread
from forge_gpu.planner.unused import not_used, unused
from forge_gpu.templates.shapes import SHAPES

TEXTS = 8  # of each column, for recognising what it holds
SCRIPTED = (
    "plan does not run the script of data.transform.script; if the script makes the columns, plan without "
    "--data, name them with --set data.mapping.messages=COLUMN (or query, response), and give the files to "
    "'forge prepare'"
)


@mutable
class Inspection:
    """What plan knows of the data. rows: of all files, None where it cannot be told. columns: of the records
    as they are, the paths that are named in them, and what a converter makes. records: those of the sample,
    as the mapping reads them. warnings: what is lost."""

    files: list[InputFile]
    samples: list[Sample]
    columns: dict[str, Column]
    picked: Picked
    rows: int | None
    exact: bool
    notes: list[str]
    records: list[dict[str, Any]]
    warnings: list[str] = field(default_factory=list)
    encoding: str = "utf-8"
    links: Links | None = None

    @property
    def dialects(self) -> list[Dialect]:
        """Those of the tables of text that were looked at."""
        tables = (each.format for each in self.samples if each.format.kind in ("csv", "tsv"))
        return list(dict.fromkeys(replace(table.dialect, skip=0) for table in tables))

    @property
    def bytes(self) -> int | None:
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def inspect(
    paths: Sequence[str],
    given: Mapping[str, Any] | None = None,
    format: str = "auto",
    encoding: str | None = None,
    any_columns: bool = False,
    base: Path | None = None,
    convert: Mapping[str, Any] | None = None,
    named: Sequence[str] = (),
    dialect: Dialect | None = None,
    links: Links | None = None,
    scripted: bool = False,
) -> Inspection:
    """Look at the inputs. given: keys of data.mapping that the user set, convert: of data.convert, named:
    columns that he names elsewhere. encoding, dialect, links: None to find it. base: where relative paths
    start.

    scripted: whether a script will make other records of these.

    any_columns: a format string will name columns itself, so data without a known mapping will do too.
    All files must have one mapping. Raises InputError where the data cannot be used, with the reason.
    """
    notes: list[str] = []
    files = resolve(paths, base, on_skip=lambda path, reason: notes.append(f"{path} is skipped: {reason}"))
    for file in files:
        if file.is_stream:
            raise InputError(
                f"{file.path}: plan looks at the data before prepare reads it, and this can be read once; "
                "write it to a file, plan that, and give prepare the stream"
            )
    chosen = spread(files)
    messages = Encoding(encoding) if encoding is not None else find_encoding(chosen)
    encoding = messages.name or "utf-8"
    notes += messages.notes
    if len(chosen) < len(files):
        notes.append(f"{len(chosen)} of {len(files)} files were looked at")
    try:
        samples = [sample(file, format, encoding, dialect) for file in chosen]
        if links is None and not given and not (convert or {}).get("by"):
            links = links_of(samples)
        samples = [linked(each, links) for each in samples] if links else samples
        picked = _agree(samples, _Asked(given or {}, convert or {}, any_columns), notes)
    except InputError as error:
        said = [str(error), *messages.notes, *([SCRIPTED] if scripted else [])]
        raise InputError("; ".join(said)) from None
    raw = [record for result in samples for record in result.records]
    records = converted(raw, picked)
    columns = with_paths(columns_of(raw), raw, (*picked.used, *named))
    notes += _faults(samples, columns, picked)
    warnings = unused(columns, picked)
    columns |= made_columns(records, picked)
    notes += [*_dialects(samples), *_layouts(samples)]
    if links is not None:
        notes.append(f"each record names the one before it as {links.parent!r}: they are read as trees")
    rows = _total(samples, files)
    exact = rows is not None and len(chosen) == len(files) and all(result.exact for result in samples)
    return Inspection(files, samples, columns, picked, rows, exact, notes, records, warnings, encoding, links)


def nothing() -> Inspection:
    """Of a plan without data."""
    return Inspection([], [], {}, Picked({}, {}), None, False, [], [])


@frozen
class _Asked:
    """What the user set: keys of data.mapping and of data.convert; whether any columns will do."""

    given: Mapping[str, Any]
    convert: Mapping[str, Any]
    any_columns: bool

    @property
    def named(self) -> list[str]:
        """The columns that are named."""
        return [
            *(self.given[key] for key in FIELDS if self.given.get(key)),
            *self.convert.get("columns", {}).values(),
        ]


def _agree(samples: Sequence[Sample], asked: _Asked, notes: list[str]) -> Picked:
    """The one mapping of all files; files that need different ones are refused by name."""
    first: tuple[Sample, Picked] | None = None
    for result in samples:
        if not result.records:
            if result.unreadable or result.others:
                raise InputError(f"{result.file.path}: {_no_records(result)}")
            if result.damage is None:
                notes.append(f"{result.file.path} has no rows: it is skipped")
            continue
        picked = _pick(result, asked)
        if first is None:
            first = (result, picked)
        elif (picked.values, picked.convert) != (first[1].values, first[1].convert):
            first = (result, _merge(first, (result, picked)))
    if first is None:
        damaged = next((result for result in samples if result.damage is not None), None)
        if damaged is not None and damaged.damage is not None:
            raise damaged.damage.fault(damaged.file)
        named = ", ".join(result.file.path for result in samples[:5]) + (", ..." if len(samples) > 5 else "")
        raise InputError(f"the data has no rows, so there is nothing to plan for: {named}")
    return first[1]


def _pick(result: Sample, asked: _Asked) -> Picked:
    try:
        return _picked(result.records, asked)
    except InputError as error:
        wrapped = None if asked.given or asked.convert else _pick_inside(result.records, asked)
        if wrapped is not None:
            return wrapped
        if asked.any_columns and not asked.given:
            return pick(columns_of(result.records), {"shape": "columns"}, {})
        raise InputError(f"{result.file.path}: {error}") from None


def _picked(records: Sequence[Mapping[str, Any]], asked: _Asked) -> Picked:
    columns = with_paths(columns_of(records), records, asked.named)
    texts: dict[str, list[str]] = {}
    for record in records[:TEXTS]:
        for name, value in record.items():
            if isinstance(value, str):
                texts.setdefault(name, []).append(value)
            elif isinstance(value, dict) and name not in texts:
                texts[name] = list(value)  # of an object, its keys
    picked = pick(columns, asked.given, texts, asked.convert)
    used = set(picked.columns.values())
    picked.media |= {
        name: kind
        for name, kind in media_by_value(records).items()
        if name not in used and picked.media.get(name, "files") == "files"
    }
    return picked


def _pick_inside(records: Sequence[Mapping[str, Any]], asked: _Asked) -> Picked | None:
    """The mapping of records that stand under a key of the records, or under a key of such."""
    inside = [
        name
        for name, column in columns_of(records).items()
        if column.kind in ("object", "message", "languages")
    ]
    for key in inside:
        inner = [record[key] for record in records if isinstance(record.get(key), dict)]
        try:
            return _picked(inner, asked).below(key)
        except InputError:
            deeper = _pick_inside(inner, asked)
            if deeper is not None:
                return deeper.below(key)
    return None


def _merge(one: tuple[Sample, Picked], other: tuple[Sample, Picked]) -> Picked:
    """Mappings of one shape that differ only in keys that one of them lacks fit together."""
    left, right = one[1], other[1]
    clash = next(
        (key for key in left.values if right.values.get(key, left.values[key]) != left.values[key]), None
    )
    if clash is None and left.convert != right.convert:
        clash = "shape"
    if clash is not None:
        raise InputError(
            f"{one[0].file.path} and {other[0].file.path} need different mappings: {left.describe()}, but "
            f"{right.describe()}; prepare them apart, or name one with --set data.mapping.{clash}=..."
        )
    merged = Picked({**right.values, **left.values}, {**right.reasons, **left.reasons}, convert=left.convert)
    merged.media = {**left.media, **right.media}
    return merged


def _no_records(result: Sample) -> str:
    if result.others:
        return (
            "holds JSON values that are not objects; Forge reads one object a record (of lists of records, "
            f"jq -c '.[]' {Path(result.file.path).name} > records.jsonl makes lines)"
        )
    return f"none of the {result.unreadable} rows that were looked at can be read as {result.format.kind}"


def _faults(samples: Sequence[Sample], columns: Mapping[str, Column], picked: Picked) -> list[str]:
    """What the sample shows to be amiss: such rows will be rejected."""
    total = sum(len(result.records) for result in samples)
    notes = []
    for result in samples:
        if result.damage is not None:
            notes.append(str(result.damage.fault(result.file)))
        bad = result.unreadable + result.others
        if bad:
            notes.append(
                f"{result.file.path}: {bad} of {bad + len(result.records)} rows looked at cannot be read"
            )
    if picked.conversion is not None:
        needed = [picked.convert["columns"][key] for key in picked.conversion.convention.required]
    else:
        keys = ("query", "response", "messages", "text")
        needed = [name for key, name in picked.columns.items() if key in keys]
    for name in needed:
        column = columns[name]
        lacking = total - column.present + column.kinds["null"]
        if lacking:
            notes.append(f"column {name!r} is missing or null in {lacking} of {total} rows looked at")
    rest = not_used(columns, picked)
    if rest and SHAPES[picked.shape].needs:
        shown = ", ".join(rest[:8]) + (" ..." if len(rest) > 8 else "")
        notes.append(f"columns not used: {shown}; keep any with --set output.columns=NAME")
    return notes


def _dialects(samples: Sequence[Sample]) -> list[str]:
    """A line for each table of text that is not as RFC 4180 has it."""
    return [
        f"{result.file.path}: fields are separated by {result.format.dialect.delimiter!r}; "
        + "; ".join(result.format.dialect.about)
        for result in samples
        if result.format.kind in ("csv", "tsv") and result.format.dialect.about
    ]


def _layouts(samples: Sequence[Sample]) -> list[str]:
    """A line for each JSON file that is neither lines nor an array, or has bytes that mean nothing."""
    arranged = [(each.file.path, each.format.layout) for each in samples]
    return [
        *(f"{path}: {layout.about}" for path, layout in arranged if layout is not None),
        *(
            f"{each.file.path}: has zero bytes, as a file does whose writing was cut off: what was to stand "
            "there is lost, whole records around them are read"
            for each in samples
            if each.has_zeros
        ),
    ]


def _total(samples: Sequence[Sample], files: Sequence[InputFile]) -> int | None:
    rows = [result.rows for result in samples]
    known = [count for count in rows if count is not None]
    if len(known) < len(rows):
        return None
    return round(sum(known) * len(files) / len(samples)) if samples else 0
