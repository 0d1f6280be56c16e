"""Data that has no mapping: what it looks like, and what to pass."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from forge_gpu.errors import InputError
from forge_gpu.planner.columns import Column
from forge_gpu.planner.names import listed, rules
from forge_gpu.planner.recognise import Recogniser
from forge_gpu.records.conventions import conventions
from forge_gpu.records.keys import turn_keys
from forge_gpu.templates.shapes.base import SCALARS, Columns, RecordShape

NESTED = dict.fromkeys(("object", "languages", "option", "tree", "message", "spans"), "an object")
"""Kinds that are no lists and no texts."""
LINKED = ("message_id", "parent_id", "text", "role")
TEXT_KEYS = ("query", "input", "response", "system", "text")


def refuse_nested(mapped: Mapping[str, str], columns: Mapping[str, Column], recogniser: Recogniser) -> None:
    """Refuse a list or an object that is mapped as a text. mapped: key of data.mapping -> column."""
    for key in TEXT_KEYS:
        name = mapped.get(key)
        column = None if name is None else columns.get(name)
        if name is None or column is None or column.kind in (*SCALARS, "empty", "null", "messages"):
            continue
        what = NESTED.get(column.kind, "a list")
        raise InputError(
            f"data.mapping.{key}: column {name!r} holds {what} in each record, and no text; "
            f"{_instead(name, key, column, recogniser)}"
        )


def _instead(name: str, key: str, column: Column, recogniser: Recogniser) -> str:
    """What takes a column that holds lists or objects."""
    every = [each for section in ("first", "later", "asked") for each in conventions(section)]
    for convention in every:
        match = recogniser.match(convention, {}) if convention.converter else None
        if match is not None and name in match.columns.values():
            return f"--set data.convert.by={convention.name} takes it ({convention.about})"
    for convention in every:
        for take in convention.takes if convention.converter else ():
            if column.kind in take.kinds:
                return (
                    f"--set data.convert.by={convention.name} --set data.convert.columns.{take.key}={name} "
                    f"takes it ({convention.about})"
                )
    inside = f"{name}.KEY" if column.kind in NESTED else f"{name}[0]"
    return f"name a text inside it, as --set data.mapping.{key}={inside}"


def refuse_linked(columns: Mapping[str, Column]) -> None:
    """Refuse rows that are one message each, linked to the one before by its identity."""
    if all(name in columns for name in LINKED):
        raise InputError(
            "each record is one message of a tree, linked by 'parent_id': a conversation is spread over "
            "several records; make trees of them with --set data.linked.id=message_id "
            "--set data.linked.parent=parent_id, or train on the messages one by one with "
            "--set data.mapping.shape=text --set data.mapping.text=text"
        )


def refuse(
    columns: Mapping[str, Column],
    picker: Columns,
    required: RecordShape | None,
    samples: Mapping[str, Sequence[str]],
    recogniser: Recogniser,
) -> NoReturn:
    """Say what the data looks like and what to pass."""
    if required is not None:
        raise InputError(
            f"the data does not have what the mapping {required.name!r} needs; its columns are "
            f"{listed(columns)}; name them with --set data.mapping.KEY=COLUMN "
            f"({', '.join(required.needs or required.roles)})"
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
    _refuse_guess(recogniser)
    _refuse_translation(columns, samples)
    query = picker.find("query", frozenset({"text"}))
    response = picker.find("response", SCALARS)
    if query and not response:
        raise InputError(
            f"column {query!r} looks like a question, but no column looks like its answer (there are "
            f"{listed(columns)}); name it with --set data.mapping.response=COLUMN, or prepare prompts alone "
            "with --set data.mapping.shape=prompt"
        )
    if response and not query:
        raise InputError(
            f"column {response!r} looks like an answer, but no column looks like its question (there are "
            f"{listed(columns)}); name it with --set data.mapping.query=COLUMN"
        )
    raise InputError(
        f"no column looks like a question, an answer, messages or text; there are {listed(columns)}; "
        "name them with --set data.mapping.query=COLUMN --set data.mapping.response=COLUMN, or a list of "
        f"messages with --set data.mapping.messages=COLUMN{_turns(columns)}"
    )


def _turns(columns: Mapping[str, Column]) -> str:
    """What a list of objects lacks to be the turns of a conversation; nothing where no column is a list."""
    name = next((column.name for column in columns.values() if column.kind == "list"), None)
    if name is None:
        return ""
    who, said = (", ".join(turn_keys(what)) for what in ("who", "said"))
    return (
        f"; if {name!r} holds conversations, each turn must say who speaks (under {who}) and what "
        f"(under {said}); a script named by data.transform.script may rename other keys"
    )


def _refuse_guess(recogniser: Recogniser) -> None:
    """A convention that is taken only where the user asks for it."""
    match = recogniser.first("asked")
    if match is not None:
        named = match.convention
        why = f"; {named.guess}" if named.guess else ""
        raise InputError(f"each record is {named.about}{why}: --set data.convert.by={named.name} takes it so")


def _refuse_translation(columns: Mapping[str, Column], samples: Mapping[str, Sequence[str]]) -> None:
    """Texts under the names of languages: from which to which is the user's to say."""
    for name, column in columns.items():
        if column.kind == "languages":
            one, other = samples.get(name, ("en", "de"))[:2]
            raise InputError(
                f"column {name!r} holds one text in several languages: say from which to which, as "
                f"--set data.mapping.query={name}.{one} --set data.mapping.response={name}.{other}"
            )


def _is_transcript(texts: Sequence[str]) -> bool:
    """Whether most of the texts have lines that begin with the names of two speakers."""
    names = "|".join(rules()["speakers"])
    speaker = re.compile(rf"^\W*({names})\W*:", re.IGNORECASE | re.MULTILINE)
    turns = sum(len({match.lower() for match in speaker.findall(text)}) > 1 for text in texts)
    return turns > len(texts) / 2
