"""From the columns of a sample to the field mapping; or a refusal that says why, and what to pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Any

from forge_gpu.errors import InputError
from forge_gpu.plain import mutable
from forge_gpu.planner.columns import LISTS, LONG, TURNS, Column
from forge_gpu.planner.names import folded, listed, missing_column, rules
from forge_gpu.planner.recognise import Match, Recogniser
from forge_gpu.planner.refusals import refuse, refuse_linked, refuse_nested
from forge_gpu.records.conventions import by_name, fault_of
from forge_gpu.records.convert import Conversion
from forge_gpu.records.paths import quoted
from forge_gpu.templates.shapes import SHAPES, shape_named_by
from forge_gpu.templates.shapes.base import SCALARS, Recognised, RecordShape

FIELDS = ("query", "input", "response", "system", "messages", "tools", "chosen", "rejected", "text", "label")


@mutable
class Picked:
    """values: keys of data.mapping. reasons: key -> why. media: column that texts refer to -> its kind, a
    key of data.media. convert: keys of data.convert, where a converter makes the records that are mapped."""

    values: dict[str, Any]
    reasons: dict[str, str]
    media: dict[str, str] = field(default_factory=dict)
    convert: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> str:
        return str(self.values["shape"])

    @property
    def columns(self) -> dict[str, str]:
        """The mapped columns, by key."""
        return {key: self.values[key] for key in FIELDS if self.values.get(key)}

    @property
    def used(self) -> set[str]:
        """The columns, and paths into them, that are used."""
        return {*self.columns.values(), *self.media, *self.convert.get("columns", {}).values()}

    @property
    def conversion(self) -> Conversion | None:
        if not self.convert:
            return None
        return Conversion(self.convert["by"], self.convert["columns"], self.convert.get("answers"))

    def below(self, key: str) -> Picked:
        """The same of records that stand under a key."""

        def path(name: str) -> str:
            return f"{quoted(key)}{'' if name.startswith('[') else '.'}{quoted(name)}"

        values = {each: path(name) if each in FIELDS else name for each, name in self.values.items()}
        convert = dict(self.convert)
        if convert:
            values = dict(self.values)
            convert["columns"] = {take: path(name) for take, name in self.convert["columns"].items()}
        return Picked(values, self.reasons, {path(name): kind for name, kind in self.media.items()}, convert)

    def describe(self) -> str:
        named = ", ".join(f"{key}={column}" for key, column in self.columns.items())
        by = f" by {self.convert['by']}" if self.convert else ""
        return f"{self.shape}{by}: {named}" if named else self.shape + by


def pick(
    columns: Mapping[str, Column],
    given: Mapping[str, Any],
    samples: Mapping[str, Sequence[str]],
    convert: Mapping[str, Any] | None = None,
) -> Picked:
    """The mapping for these columns. given: keys that the user set, which always win; convert: likewise, of
    data.convert; None where no converter may be used.

    samples: a few texts of each column of text, to recognise what a column holds. Raises InputError.
    """
    for key in FIELDS:
        if given.get(key) and not (convert and convert.get("by")):
            _must_exist(given[key], columns, f"data.mapping.{key}")
    for key, column in (convert or {}).get("columns", {}).items():
        _must_exist(column, columns, f"data.convert.columns.{key}")
    picker = _Picker(columns, given)
    if convert and convert.get("by"):
        picked = _converted(picker, convert)
    else:
        picked = _recognised(picker, given, convert, samples)
    _with_extras(picked, picker)
    refuse_nested(picked.columns, columns, picker.recogniser)
    return picked


def _recognised(
    picker: _Picker,
    given: Mapping[str, Any],
    convert: Mapping[str, Any] | None,
    samples: Mapping[str, Sequence[str]],
) -> Picked:
    """By a convention or a shape of the mapping: what is the most particular first."""
    required = _required_shape(picker, given)
    recogniser = picker.recogniser
    if required is None and convert is not None and (match := recogniser.first("first")):
        return _of_match(match, convert)
    every = [shape for shape in SHAPES.values() if shape.has_turns]
    for shape in [required] if required else every:
        recognised = shape.recognise(picker)
        if recognised is not None:
            return picker.picked(shape.name, recognised)
    if required is None:
        if convert is not None and (match := recogniser.first("later")):
            return _of_match(match, convert)
        refuse_linked(picker.columns)
        for shape in (shape for shape in SHAPES.values() if shape.only_text):
            recognised = shape.recognise(picker)
            if recognised is not None:
                return picker.picked(shape.name, recognised)
    refuse(picker.columns, picker, required, samples, recogniser)


def _converted(picker: _Picker, convert: Mapping[str, Any]) -> Picked:
    """By the converter that the user names."""
    convention = by_name().get(convert["by"])
    if convention is None:
        raise InputError(f"data.convert.{fault_of(convert['by'], {}, None)}")
    match = picker.recogniser.named(convert["by"], convert.get("columns", {}))
    if match is None:
        needs = ", ".join(convention.required)
        raise InputError(
            f"the converter {convention.name!r} needs {needs}; the data has {listed(picker.columns)}; name "
            f"them with --set data.convert.columns.{convention.required[0]}=COLUMN"
        )
    return _of_match(match, convert)


def _of_match(match: Match, convert: Mapping[str, Any]) -> Picked:
    convention, columns = match.convention, match.columns
    why = f"{convention.about}"
    if convention.converter is None:
        return Picked({"shape": convention.makes, **columns}, {"shape": why})
    answers = convert.get("answers") or convention.answers
    made = {"by": convention.name, "columns": columns, **({"answers": answers} if answers else {})}
    picked = Picked({}, {"shape": why}, convert=made)
    conversion = picked.conversion
    assert conversion is not None
    picked.values = {"shape": conversion.shape, **conversion.mapping}
    picked.reasons |= {key: f"made by the converter {convention.name!r}" for key in conversion.mapping}
    return picked


def _required_shape(picker: _Picker, given: Mapping[str, Any]) -> RecordShape | None:
    """The shape that the user names, or that the named keys tell of."""
    if given.get("shape"):
        return SHAPES[given["shape"]]
    shape = shape_named_by(given)
    rather = None if shape is None or shape.rather is None else SHAPES[shape.rather]
    return rather if rather is not None and rather.recognise(picker) is not None else shape


class _Picker:
    """Finds a column for each key: the given one, else the likeliest name with values of a fitting kind."""

    def __init__(self, columns: Mapping[str, Column], given: Mapping[str, Any]) -> None:
        self.columns, self.named = columns, given
        self.by_name: dict[str, str] = {}
        for name in columns:
            self.by_name.setdefault(folded(name), name)

    def given(self, key: str) -> str | None:
        return str(self.named[key]) if self.named.get(key) else None

    def find(self, key: str, kinds: frozenset[str], without: Sequence[str | None] = ()) -> str | None:
        given = self.given(key)
        if given is not None:
            return given
        for alias in rules()["names"][key]:
            name = self.by_name.get(alias)
            if name is not None and name not in without and self.columns[name].kind in kinds:
                return name
        return None

    def find_messages(self, without: Sequence[str | None] = ()) -> str | None:
        named = self.find("messages", frozenset({"messages"}), without)
        holding = [c.name for c in self.columns.values() if c.kind == "messages" and c.name not in without]
        return named or (holding[0] if len(holding) == 1 else None)

    def are_prompts(self, name: str) -> bool:
        column = self.columns.get(name)
        if column is None or 2 * column.prompts <= column.kinds["messages"]:
            return False
        others = [other for other in self.columns.values() if other is not column]
        teaches = any(
            other.is_of(TURNS | LISTS) or (other.kind == "text" and other.mean >= LONG) for other in others
        )
        return not teaches and self.find("response", SCALARS | TURNS | LISTS) is None

    def stand_alone(self, names: Collection[str | None]) -> bool:
        return all(folded(name) in rules()["origins"] for name in self.columns if name not in names)

    @property
    def recogniser(self) -> Recogniser:
        return Recogniser(self.columns, self.by_name, rules()["names"])

    def picked(self, shape: str, recognised: Recognised) -> Picked:
        values = {key: name for key, name in recognised.keys.items() if name}
        reasons = {key: "as set" if self.given(key) else self.why(key, name) for key, name in values.items()}
        return Picked({"shape": shape, **values}, {"shape": recognised.why, **reasons})

    def why(self, key: str, name: str) -> str:
        column = self.columns[name]
        what = {
            "messages": "lists of messages",
            "message": "messages",
            "text": f"texts of {column.mean:.0f} characters on average",
            "number": "numbers",
            "bool": "true or false",
        }.get(column.kind, column.kind)
        return f"column {name!r} holds {what}"


def _with_extras(picked: Picked, picker: _Picker) -> None:
    """The label, roles and media of records that are mapped."""
    label = picker.find("label", SCALARS, tuple(picked.used))
    if label:
        picked.values["label"] = label
        picked.reasons["label"] = f"{picker.why('label', label)}; part of what makes two rows equal"
    if picker.named.get("roles"):
        picked.values["roles"] = dict(picker.named["roles"])
    own = set(picked.columns.values())
    picked.media = {
        picker.by_name[name]: kind
        for kind, names in rules()["media"].items()
        for name in names
        if name in picker.by_name and picker.by_name[name] not in own
    }
    for name, column in picker.by_name.items():
        ending = next((each for each in rules()["media_endings"] if name.endswith(each)), None)
        if ending is not None and column not in own:
            picked.media.setdefault(column, _kind_named(name.removesuffix(ending)))


def _kind_named(name: str) -> str:
    return next((kind for kind, names in rules()["media"].items() if name in names), "files")


def _must_exist(name: str, columns: Mapping[str, Column], what: str) -> None:
    if name not in columns:
        raise InputError(f"{what}: {missing_column(name, columns)}")
