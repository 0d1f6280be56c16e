"""The page of `forge check --html`: what data is, before there is a plan."""

from __future__ import annotations

from pathlib import Path

from forge_gpu.audit.quality_report import QualityReport
from forge_gpu.io.secrets import command_line, public_within
from forge_gpu.report.meanings import meanings
from forge_gpu.report.page import html_page, write_page


def write_checked(path: Path, report: QualityReport) -> None:
    """Write the page. It holds names and places, and no rows. Raises OutputError, also where something that
    Forge did not write has the name."""
    data = {"report": public_within(report.to_dict()), "meanings": meanings(), "command": command_line()}
    write_page(path, html_page("check.js", "What the data is: Forge", data))
