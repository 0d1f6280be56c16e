"""`forge check`: what data is, before there is a plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

PATHS = "Files, folders, globs, @lists or URLs to look at."


def check(
    paths: Annotated[list[str], typer.Argument(help=PATHS, show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Leave it as a page as well.")] = None,
) -> None:
    """Look at all of the data and say what is amiss: damage, duplicates, encodings, secrets, poor texts.

    \b
    Examples:
      forge check raw.jsonl
      forge check data/ --json
      forge check raw.jsonl --html check.html
    """
    from forge_gpu import library

    report = library.check(paths)
    if html is not None:
        from forge_gpu.report.checked import write_checked

        write_checked(html, report)
    if as_json:
        import orjson

        sys.stdout.write(orjson.dumps(report.to_dict(), option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    from forge_gpu.audit.describe import quality_sections
    from forge_gpu.cli.sections import show

    show(quality_sections(report))
    if html is not None:
        print(f"wrote {html}")
