"""What `forge check` finds: a QualityReport. Plain values; a reader of one needs nothing else of Forge."""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Any

from forge_gpu.plain import frozen


@frozen
class Example:
    """A row that shows a finding. file: as it was named. row: in it, from 0. line: from 1, of JSON lines.
    what: a few words about it; never a secret or a whole row."""

    file: str
    row: int
    line: int | None = None
    what: str = ""


@frozen
class Finding:
    """How many rows something was found in, and a few of them."""

    rows: int = 0
    examples: tuple[Example, ...] = ()


@frozen
class ColumnReport:
    """present: rows that have the column. null: of those, rows in which it is null. kinds: what its values
    are -> rows: text, empty, number, bool, list, object. mean, longest: bytes of its texts in UTF-8."""

    name: str
    present: int
    null: int
    kinds: dict[str, int]
    mean: float
    longest: int


@frozen
class FileReport:
    """bytes: None where the size is not known. losses: what could not be read, in words."""

    path: str
    format: str
    encoding: str
    bytes: int | None
    rows: int
    losses: tuple[str, ...] = ()


@frozen
class QualityReport:
    """One look at everything.

    rows: of all files. parts: what they become, where a record becomes several rows; what is counted of
    rows is of these. shape: how the records were read: a shape of data.mapping, with the converter where
    there is one; mapping: key -> column. unreadable: reason -> rows that a job would reject as they are.
    findings: name of a check -> rows that fail it. exact_duplicates: rows whose contents an earlier row has;
    near_duplicates: rows that are, by MinHash, similar to an earlier one: an estimate, no texts are compared.
    rules: "check: rule" -> rows that fail it, of secrets and personal data by kind, which are counted and
    never shown, and of the filters of web pages, which fail most answers of a chat. languages: of the
    answers, as ISO 639 has them, "und" where that is not certain -> rows; empty without the extra `language`.
    notes: what plan would say.
    """

    files: tuple[FileReport, ...]
    rows: int
    shape: str
    mapping: dict[str, str]
    columns: tuple[ColumnReport, ...]
    unreadable: dict[str, Finding]
    findings: dict[str, Finding]
    exact_duplicates: Finding
    near_duplicates: Finding
    notes: tuple[str, ...] = ()
    rules: dict[str, Finding] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    parts: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found that a job would reject or warn of, and no duplicate."""
        result = [*self.unreadable.values(), *self.findings.values(), self.exact_duplicates]
        return not any(finding.rows for finding in result)

    def to_dict(self) -> dict[str, Any]:
        """The same as values of JSON."""
        return asdict(self)
