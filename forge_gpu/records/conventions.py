"""The conventions of conventions.yaml: one object each, and what finds and reads them by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any

from forge_gpu.plain import frozen
from forge_gpu.records.keys import written

SCALARS = frozenset({"text", "number", "bool"})


@frozen
class Take:
    """What a converter reads. names: of columns, the likeliest first; like: a key of data.mapping whose names
    come before them. kinds: of values. any_name: the only column of these kinds will do. unanswered: lists of
    messages that end with an answer will not."""

    key: str
    names: tuple[str, ...]
    kinds: frozenset[str]
    like: str | None = None
    optional: bool = False
    any_name: bool = False
    unanswered: bool = False


@frozen
class Convention:
    """makes: the shape of the records that come out. gives: key of data.mapping -> their column, and, after
    a question mark, what it is made of where that may be lacking. converter:
    the name of what makes them; None where the columns are mapped as they are. answers: which of several are
    used where nobody says; None where a record is one row. guess: why it is taken only where it is asked
    for. without: columns that it does not have."""

    name: str
    about: str
    makes: str
    gives: Mapping[str, str]
    takes: tuple[Take, ...]
    converter: str | None
    answers: str | None = None
    guess: str = ""
    without: tuple[str, ...] = ()

    @property
    def required(self) -> list[str]:
        return [take.key for take in self.takes if not take.optional]

    @property
    def choices(self) -> tuple[str, ...]:
        """What `data.convert.answers` may say."""
        if self.answers is None:
            return ()
        return (
            ("all", "best")
            if self.answers == "all"
            else (("each", "best", "pairs") if self.name == "answers" else ("each", "best"))
        )


@cache
def conventions(section: str) -> tuple[Convention, ...]:
    """Those looked for `first`, `later`, or where they are `asked` for."""
    return tuple(_read(name, said) for name, said in written()[section].items())


@cache
def by_name() -> dict[str, Convention]:
    """Those with a converter, by what `data.convert.by` calls them."""
    every = [each for section in ("first", "later", "asked") for each in conventions(section)]
    return {each.name: each for each in every if each.converter is not None}


def fault_of(name: str, columns: Mapping[str, str] | None, answers: str | None) -> str | None:
    """What is amiss in a plan's section `data.convert`, and what to do; None where nothing is. columns: None
    where plan has yet to find them."""
    known = by_name()
    convention = known.get(name)
    if convention is None:
        near = difflib.get_close_matches(name, known, 1, 0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        return f"by: there is no converter {name!r}; {hint}"
    takes = [take.key for take in convention.takes]
    lacking = [] if columns is None else [key for key in convention.required if not columns.get(key)]
    unknown = [key for key in columns or () if key not in takes]
    if lacking or unknown:
        what = f"needs {', '.join(lacking)}" if lacking else f"takes no {', '.join(unknown)}"
        return f"columns: {name!r} {what}; it takes {', '.join(takes)}"
    if answers is not None and answers not in convention.choices:
        choices = ", ".join(convention.choices) or "nothing: a record is one row"
        return f"answers: {name!r} has no {answers!r}; choose {choices}"
    return None


def _read(name: str, said: Mapping[str, Any]) -> Convention:
    takes = tuple(
        Take(
            key,
            tuple(take.get("names", ())),
            frozenset(take.get("kinds", SCALARS if key == "response" else {"text"})),
            take.get("like"),
            take.get("optional", False),
            take.get("any_name", False),
            take.get("unanswered", False),
        )
        for key, take in said["takes"].items()
    )
    gives = dict(said["gives"])
    return Convention(
        name,
        said["about"],
        said["makes"],
        gives,
        takes,
        said.get("converter", name) if gives else None,
        said.get("several"),
        said.get("guess", ""),
        tuple(said.get("without", ())),
    )
