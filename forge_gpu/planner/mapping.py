"""From the columns of a sample to the field mapping; or a refusal that says why, and what to pass."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, NoReturn

from ruamel.yaml import YAML

from forge_gpu.errors import InputError
from forge_gpu.planner.columns import Column
from forge_gpu.templates.shapes import SHAPES, shape_named_by
from forge_gpu.templates.shapes.base import SCALARS, Recognised, RecordShape

FIELDS = ("query", "input", "response", "system", "messages", "tools", "chosen", "rejected", "text", "label")


@dataclass(slots=True)
class Picked:
    """values: keys of data.mapping. reasons: key -> why. media: columns that messages refer to."""

    values: dict[str, Any]
    reasons: dict[str, str]
    media: list[str] = field(default_factory=list)

    @property
    def shape(self) -> str:
        return str(self.values["shape"])

    @property
    def columns(self) -> dict[str, str]:
        """The mapped columns, by key."""
        return {key: self.values[key] for key in FIELDS if self.values.get(key)}

    def describe(self) -> str:
        named = ", ".join(f"{key}={column}" for key, column in self.columns.items())
        return f"{self.shape}: {named}" if named else self.shape


@cache
def rules() -> dict[str, Any]:
    text = resources.files("forge_gpu.planner").joinpath("mapping.yaml").read_text("utf-8")
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return loaded


def pick(
    columns: Mapping[str, Column], given: Mapping[str, Any], samples: Mapping[str, Sequence[str]]
) -> Picked:
    """The mapping for these columns. given: keys that the user set, which always win.

    samples: a few texts of each column of text, to recognise what a column holds. Raises InputError.
    """
    for key in FIELDS:
        if given.get(key):
            _must_exist(given[key], columns, f"data.mapping.{key}")
    picker = _Picker(columns, given)
    required = _required_shape(picker, given)
    for shape in [required] if required else [shape for shape in SHAPES.values() if shape.telling]:
        recognised = shape.recognise(picker)
        if recognised is not None:
            return _with_extras(picker.picked(shape.name, recognised), picker)
    _refuse(columns, picker, required, samples)


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
            self.by_name.setdefault(re.sub(r"[\s-]+", "_", name.strip().lower()), name)

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


def _with_extras(picked: Picked, picker: _Picker) -> Picked:
    label = picker.find("label", SCALARS, tuple(picked.columns.values()))
    if label:
        picked.values["label"] = label
        picked.reasons["label"] = f"{picker.why('label', label)}; part of what makes two rows equal"
    if picker.named.get("roles"):
        picked.values["roles"] = dict(picker.named["roles"])
    picked.media = [picker.by_name[name] for name in rules()["media"] if name in picker.by_name]
    return picked


def _must_exist(name: str, columns: Mapping[str, Column], what: str) -> None:
    if name not in columns:
        raise InputError(f"{what}: {missing_column(name, columns)}")


def missing_column(name: str, columns: Collection[str]) -> str:
    """One line on a column that the data lacks: the nearest one, or all there are."""
    near = difflib.get_close_matches(name, columns, 1, 0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {_names(columns)}"
    return f"the data has no column {name!r}; {hint}"


def _names(columns: Collection[str]) -> str:
    shown = [repr(name) for name in list(columns)[:12]]
    return ", ".join(shown) + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")


def _refuse(
    columns: Mapping[str, Column],
    picker: _Picker,
    required: RecordShape | None,
    samples: Mapping[str, Sequence[str]],
) -> NoReturn:
    """Say what the data looks like and what to pass."""
    if required is not None:
        raise InputError(
            f"the data does not have what the mapping {required.name!r} needs; its columns are "
            f"{_names(columns)}; name them with --set data.mapping.KEY=COLUMN ({', '.join(required.needs)})"
        )
    nested = next((c.name for c in columns.values() if c.kind == "nested"), None)
    if nested:
        raise InputError(
            f"column {nested!r} holds lists of message lists without the assistant's answers: "
            "a benchmark, it seems, not training data; give data with one list of messages a record"
        )
    transcript = next((name for name in columns if _is_transcript(samples.get(name, ()))), None)
    if transcript:
        raise InputError(
            f"column {transcript!r} holds whole conversations, each written as one text (a log with lines "
            "as 'user: ...'): its turns cannot be told apart for certain; give the messages as a list, or "
            f"train on it as text with --set data.mapping.shape=text --set data.mapping.text={transcript}"
        )
    query = picker.find("query", frozenset({"text"}))
    response = picker.find("response", SCALARS)
    if query and not response:
        raise InputError(
            f"column {query!r} looks like a question, but no column looks like its answer (there are "
            f"{_names(columns)}); name it with --set data.mapping.response=COLUMN"
        )
    if response and not query:
        raise InputError(
            f"column {response!r} looks like an answer, but no column looks like its question (there are "
            f"{_names(columns)}); name it with --set data.mapping.query=COLUMN"
        )
    raise InputError(
        f"no column looks like a question, an answer, messages or text; there are {_names(columns)}; "
        "name them with --set data.mapping.query=COLUMN --set data.mapping.response=COLUMN (or messages=)"
    )


def _is_transcript(texts: Sequence[str]) -> bool:
    """Whether most of the texts have lines that begin with the names of two speakers."""
    names = "|".join(rules()["speakers"])
    speaker = re.compile(rf"^\W*({names})\W*:", re.IGNORECASE | re.MULTILINE)
    turns = sum(len({match.lower() for match in speaker.findall(text)}) > 1 for text in texts)
    return turns > len(texts) / 2
