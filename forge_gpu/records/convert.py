"""Records by a converter: from the columns it takes to those it makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forge_gpu.errors import ConfigError
from forge_gpu.fates import Reason
from forge_gpu.records.asked import Asked
from forge_gpu.records.conventions import Convention, by_name, fault_of
from forge_gpu.records.converters import CONVERTERS
from forge_gpu.records.refused import BadRecord
from forge_gpu.records.values import ABSENT

MADE = {
    "flat": ("query", "input", "response"),
    "conversation": ("messages", "tools"),
    "preference": ("prompt", "chosen", "rejected"),
}


class Conversion:
    """A plan's section `data.convert`, at work. makes: the columns that every record then has."""

    def __init__(self, by: str, columns: Mapping[str, str], answers: str | None) -> None:
        """Raises ConfigError for columns that it lacks or does not know."""
        fault = fault_of(by, columns, answers)
        if fault is not None:
            raise ConfigError(f"data.convert.{fault}")
        self.convention: Convention = by_name()[by]
        self.columns = dict(columns)
        self.answers = answers or self.convention.answers or "each"
        self._asked = Asked(self.columns, self.answers)
        self._convert = CONVERTERS[self.convention.converter or by]
        self._required = tuple((key, self.columns[key]) for key in self.convention.required)
        self.shape = "preference" if self.answers == "pairs" else self.convention.makes
        self.makes = (*MADE[self.shape], *(("query", "input") if self.answers == "pairs" else ()))

    @property
    def makes_several(self) -> bool:
        """Whether a record may become several rows."""
        return self.convention.answers is not None

    @property
    def mapping(self) -> dict[str, str]:
        """Key of data.mapping -> column, for what comes out."""
        if self.answers == "pairs":
            extra = {"input": "input"} if "input" in self.columns else {}
            return {"query": "query", **extra, "chosen": "chosen", "rejected": "rejected"}
        gives = ((key, column.partition("?")) for key, column in self.convention.gives.items())
        return {key: column for key, (column, _, of) in gives if not of or of in self.columns}

    def rows(self, taken: dict[str, Any], is_complete: bool = False) -> list[dict[str, Any]]:
        """What becomes of a record. taken: what the converter takes, ABSENT where the record has nothing;
        is_complete: it is known to have all. Raises BadRecord."""
        if is_complete:
            made = self._convert(taken, self._asked)
            return made if isinstance(made, list) else [made]
        for key, column in self._required:
            value = taken[key]
            if value is ABSENT:
                raise BadRecord(f"{column!r} is missing", Reason.MISSING_FIELD)
            if value is None:
                raise BadRecord(f"{column!r} is null", Reason.NULL_FIELD)
        if len(taken) > len(self._required):
            taken = {key: value for key, value in taken.items() if value is not ABSENT and value is not None}
        made = self._convert(taken, self._asked)
        return made if isinstance(made, list) else [made]
