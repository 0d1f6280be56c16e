"""From the columns of a sample to the field mapping; or a refusal that says why, and what to pass."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, NoReturn

from ruamel.yaml import YAML

from forge_gpu.errors import InputError
from forge_gpu.planner.columns import SCALARS, Column

SHAPE_OF_KEY = {
    "chosen": "preference",
    "rejected": "preference",
    "messages": "conversation",
    "tools": "conversation",
    "query": "flat",
    "response": "flat",
    "input": "flat",
    "text": "text",
}
SIDES = frozenset({"text", "message", "messages"})
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
    wanted = given.get("shape") or next((s for k, s in SHAPE_OF_KEY.items() if given.get(k)), None)
    if wanted == "flat" and given.get("shape") is None and _side(columns, given):
        wanted = "preference"
    picker = _Picker(columns, given)
    for shape in [wanted] if wanted else ["preference", "conversation", "flat", "text"]:
        picked = picker.shapes[shape]()
        if picked is not None:
            return _with_extras(picked, picker)
    _refuse(columns, picker, wanted, samples)


def _side(columns: Mapping[str, Column], given: Mapping[str, Any]) -> bool:
    picker = _Picker(columns, given)
    return bool(picker.find("chosen", SIDES) and picker.find("rejected", SIDES))


class _Picker:
    """Finds a column for each key: the given one, else the likeliest name with values of a fitting kind."""

    def __init__(self, columns: Mapping[str, Column], given: Mapping[str, Any]) -> None:
        self.columns, self.given = columns, given
        self.by_name: dict[str, str] = {}
        for name in columns:
            self.by_name.setdefault(re.sub(r"[\s-]+", "_", name.strip().lower()), name)
        self.shapes: dict[str, Callable[[], Picked | None]] = {
            "preference": self.preference,
            "conversation": self.conversation,
            "flat": self.flat,
            "text": self.text,
            "columns": self.any_columns,
        }

    def find(self, key: str, kinds: frozenset[str], without: Sequence[str | None] = ()) -> str | None:
        if self.given.get(key):
            return str(self.given[key])
        for alias in rules()["names"][key]:
            name = self.by_name.get(alias)
            if name is not None and name not in without and self.columns[name].kind in kinds:
                return name
        return None

    def picked(self, shape: str, why: str, **values: str | None) -> Picked:
        found = {"shape": shape, **{key: name for key, name in values.items() if name}}
        reasons = {"shape": why}
        for key, name in values.items():
            if name and self.given.get(key):
                reasons[key] = "as set"
            elif name:
                reasons[key] = self.why(key, name)
        return Picked(found, reasons)

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

    def preference(self) -> Picked | None:
        chosen, rejected = self.find("chosen", SIDES), self.find("rejected", SIDES)
        if not chosen or not rejected:
            return None
        messages = self._messages((chosen, rejected))
        query = None if messages else self.find("query", frozenset({"text"}), (chosen, rejected))
        why = "a better and a worse answer in each record"
        if not (messages or query):
            why += "; both hold the whole conversation"
        return self.picked(
            "preference",
            why,
            query=query,
            messages=messages,
            system=self._system(),
            chosen=chosen,
            rejected=rejected,
        )

    def conversation(self) -> Picked | None:
        messages = self._messages(())
        if not messages:
            return None
        tools = self.find("tools", frozenset({"list", "object", "text"}))
        return self.picked(
            "conversation",
            "each record is a list of messages",
            messages=messages,
            system=self._system(),
            tools=tools,
        )

    def _messages(self, without: tuple[str, ...]) -> str | None:
        """By name; else the only column that holds messages, whatever its name."""
        named = self.find("messages", frozenset({"messages"}), without)
        holding = [c.name for c in self.columns.values() if c.kind == "messages" and c.name not in without]
        return named or (holding[0] if len(holding) == 1 else None)

    def _system(self) -> str | None:
        return self.find("system", frozenset({"text"}))

    def flat(self) -> Picked | None:
        response = self.find("response", SCALARS)
        query = self.find("query", frozenset({"text"}), (response, self.given.get("input")))
        if not query or not response:
            return None
        extra = self.find("input", frozenset({"text", "empty"}), (query, response))
        why = "each record has a question and its answer"
        return self.picked("flat", why, query=query, input=extra, response=response, system=self._system())

    def text(self) -> Picked | None:
        text = self.find("text", frozenset({"text"}))
        return self.picked("text", "each record is one text", text=text) if text else None

    def any_columns(self) -> Picked:
        return self.picked("columns", "the template names the columns itself")


def _with_extras(picked: Picked, picker: _Picker) -> Picked:
    label = picker.find("label", SCALARS, tuple(picked.columns.values()))
    if label:
        picked.values["label"] = label
        picked.reasons["label"] = f"{picker.why('label', label)}; part of what makes two rows equal"
    if picker.given.get("roles"):
        picked.values["roles"] = dict(picker.given["roles"])
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
    columns: Mapping[str, Column], picker: _Picker, wanted: str | None, samples: Mapping[str, Sequence[str]]
) -> NoReturn:
    """Say what the data looks like and what to pass."""
    if wanted:
        raise InputError(
            f"the data does not have what the mapping {wanted!r} needs; its columns are {_names(columns)}; "
            f"name them with --set data.mapping.KEY=COLUMN ({_needs(wanted)})"
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


def _needs(shape: str) -> str:
    needed = {"flat": ("query", "response"), "conversation": ("messages",), "text": ("text",)}
    return ", ".join(needed.get(shape, ("chosen", "rejected")))


def _is_transcript(texts: Sequence[str]) -> bool:
    """Whether most of the texts have lines that begin with the names of two speakers."""
    names = "|".join(rules()["speakers"])
    speaker = re.compile(rf"^\W*({names})\W*:", re.IGNORECASE | re.MULTILINE)
    turns = sum(len({match.lower() for match in speaker.findall(text)}) > 1 for text in texts)
    return turns > len(texts) / 2
