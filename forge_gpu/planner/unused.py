"""Columns that are not used: which of them look like what teaches, and how they are taken."""

from __future__ import annotations

from collections.abc import Mapping

from forge_gpu.planner.columns import LISTS, LONG, TURNS, Column
from forge_gpu.planner.mapping import Picked
from forge_gpu.planner.names import folded, rules
from forge_gpu.records.conventions import by_name, conventions
from forge_gpu.records.paths import root_of
from forge_gpu.templates.shapes import SHAPES


def not_used(columns: Mapping[str, Column], picked: Picked) -> list[str]:
    """The columns that nothing of the plan takes, not even a path into them."""
    used = {root_of(name, ()) for name in picked.used} | picked.used
    return [name for name in columns if name not in used]


def unused(columns: Mapping[str, Column], picked: Picked) -> list[str]:
    """A line for each column that looks like what teaches and is not used: what is lost, what takes it."""
    if not SHAPES[picked.shape].needs:
        return []
    return [
        f"column {name!r} holds {what} and is not used: no model learns from it; "
        f"{_taking(name, columns, picked)}"
        for name in not_used(columns, picked)
        if (what := _teaches(columns[name], picked)) is not None
    ]


def _teaches(column: Column, picked: Picked) -> str | None:
    """What a column holds, where that looks like what teaches."""
    if column.is_of(TURNS):
        return "conversations"
    if column.is_of(LISTS if picked.shape != "text" else {"scored"}):
        return "lists of texts or calls"
    names_it = folded(column.name) in (
        *rules()["names"]["input"],
        *rules()["names"]["system"],
        *(name for take in by_name()["reasoning"].takes if take.key == "reasoning" for name in take.names),
    )
    if column.kind == "text" and (column.mean >= LONG or names_it):
        return f"texts of {column.mean:.0f} characters on average"
    return None


def _taking(name: str, columns: Mapping[str, Column], picked: Picked) -> str:
    """What a user sets to take a column."""
    keep = f"--set output.columns={name} keeps it beside the text"
    for convention in (*conventions("first"), *conventions("later"), *conventions("asked")):
        for take in convention.takes if convention.converter else ():
            if not take.like and folded(name) in take.names and columns[name].is_of(take.kinds):
                return f"--set data.convert.by={convention.name} takes it ({convention.about}); {keep}"
    free = {"flat": ("input", "system"), "preference": ("input", "system"), "conversation": ("system",)}
    for key in free.get(picked.shape, ()):
        is_free = picked.values.get(key) is None and columns[name].kind == "text" and not picked.convert
        if is_free and (key == "input" or folded(name) in rules()["names"]["system"]):
            return f"--set data.mapping.{key}={name} takes it; {keep}"
    return keep
