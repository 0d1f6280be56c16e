"""`forge verify`: whether an output folder is what it says of itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def verify(
    folder: Annotated[Path, typer.Argument(help="The output folder of a job.")] = Path("prepared"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Derive every count and hash of a prepared folder anew, from its files alone; 3 where one differs.

    \b
    Examples:
      forge verify
      forge verify prepared --json
    """
    from forge_gpu import library
    from forge_gpu.errors import ValidationError

    report = library.verify(folder)
    if as_json:
        import orjson

        sys.stdout.write(orjson.dumps(report.to_dict(), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        from forge_gpu.audit.describe import validation_sections
        from forge_gpu.cli.sections import show

        show(validation_sections(report))
    if not report.is_valid:
        raise ValidationError(
            f"{folder}: {len(report.faults)} of {len(report.checks)} checks failed; prepare it again"
        )
