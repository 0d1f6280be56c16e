"""By which convention the records of a sample are written: conventions.yaml, held against its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forge_gpu.plain import frozen
from forge_gpu.planner.columns import Column
from forge_gpu.records.conventions import Convention, Take, by_name, conventions


@frozen
class Match:
    """A convention, and the column of each thing that it takes."""

    convention: Convention
    columns: dict[str, str]


class Recogniser:
    """by_name: folded name -> column. aliases: key of data.mapping -> the names of columns for it."""

    def __init__(
        self,
        columns: Mapping[str, Column],
        by_name: Mapping[str, str],
        aliases: Mapping[str, Sequence[str]],
    ) -> None:
        self._columns, self._by_name, self._aliases = columns, by_name, aliases

    def first(self, section: str) -> Match | None:
        """The first convention of a section that the columns fit."""
        matches = (self.match(convention, {}) for convention in conventions(section))
        return next((match for match in matches if match is not None), None)

    def named(self, name: str, given: Mapping[str, str]) -> Match | None:
        """The convention that the user asks for, with the columns that he names; None where the data lacks
        one that it needs."""
        return self.match(by_name()[name], given)

    def match(self, convention: Convention, given: Mapping[str, str]) -> Match | None:
        columns = dict(given)
        for take in convention.takes:
            if take.key in columns:
                continue
            column = self._column(take, [*columns.values()])
            if column is not None:
                columns[take.key] = column
            elif not take.optional:
                return None
        if any(name in self._by_name for name in convention.without):
            return None
        return Match(convention, columns)

    def _column(self, take: Take, used: Sequence[str]) -> str | None:
        names = [*(self._aliases[take.like] if take.like else ()), *take.names]
        named = (self._by_name.get(name) for name in names)
        free = [name for name in self._columns if name not in used]
        for name in named:
            if name in free and name is not None and self._is_fit(name, take):
                return name
        fitting = [name for name in free if self._columns[name].kind in take.kinds]
        return fitting[0] if take.any_name and len(fitting) == 1 else None

    def _is_fit(self, name: str, take: Take) -> bool:
        column = self._columns[name]
        return column.is_of(take.kinds) and not (take.unanswered and 2 * column.answered > column.present)
