"""Reports in lines for people."""

from __future__ import annotations

from collections.abc import Mapping

from forge_gpu.audit.quality_report import Example, FileReport, Finding, QualityReport
from forge_gpu.audit.validation_report import ValidationReport

Sections = list[tuple[str, list[str]]]


def quality_sections(report: QualityReport) -> Sections:
    """(title, lines) for each section; a section without lines is left away."""
    mapped = ", ".join(f"{key} = {column}" for key, column in report.mapping.items())
    repeats = {
        "equal to an earlier row": report.exact_duplicates,
        "similar to an earlier row, by MinHash": report.near_duplicates,
    }
    became = f", which become {report.parts:,}" if report.parts != report.rows else ""
    read = f"{report.rows:,} rows{became}, read as {report.shape}" + (f": {mapped}" if mapped else "")
    sections: Sections = [
        ("Files", [_file(file) for file in report.files]),
        ("Records", [read]),
        ("Columns", [_column_line(report, number) for number in range(len(report.columns))]),
        ("Cannot be read", _findings(report.unreadable, report.parts)),
        ("Amiss", _findings(report.findings, report.parts)),
        ("Rules by kind", _findings(report.rules, report.parts)),
        ("Languages", _languages(report)),
        ("Repeated", _findings(repeats, report.parts)),
        ("Notes", list(report.notes)),
    ]
    return [(title, lines) for title, lines in sections if lines]


def validation_sections(report: ValidationReport) -> Sections:
    mark = {True: "ok   ", False: "WRONG"}
    lines = [f"{mark[check.is_sound]} {check.name}: {check.detail}" for check in report.checks]
    return [(f"{report.folder}, {report.rows:,} rows in the ledger", lines)]


def _file(file: FileReport) -> str:
    size = "" if file.bytes is None else f", {file.bytes / 2**20:.1f} MiB"
    encoding = "" if file.encoding == "utf-8" else f", {file.encoding}"
    losses = "".join(f"; {loss}" for loss in file.losses)
    return f"{file.path}: {file.format}{encoding}{size}, {file.rows:,} rows{losses}"


def _column_line(report: QualityReport, number: int) -> str:
    column = report.columns[number]
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in column.kinds.items())
    lacking = report.rows - column.present + column.null
    texts = f"; {column.mean:.0f} bytes on average, longest {column.longest:,}" if column.longest else ""
    missing = f"; missing or null in {lacking:,}" if lacking else ""
    return f"{column.name!r}: {kinds or 'nothing'}{texts}{missing}"


def _findings(result: Mapping[str, Finding], rows: int) -> list[str]:
    return [
        f"{name}: {finding.rows:,} rows, {100 * finding.rows / max(rows, 1):.1f}% "
        f"({', '.join(map(_example, finding.examples))})"
        for name, finding in result.items()
        if finding.rows
    ]


def _languages(report: QualityReport) -> list[str]:
    total = max(sum(report.languages.values()), 1)
    return [f"{name}: {rows:,} rows, {100 * rows / total:.1f}%" for name, rows in report.languages.items()]


def _example(example: Example) -> str:
    where = f"row {example.row}" if example.line is None else f"line {example.line}"
    return f"{example.file} {where}" + (f": {example.what}" if example.what else "")
