"""`forge diff`: what differs between two prepared folders."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer


def diff(
    a: Annotated[
        Path, typer.Argument(help="What forge prepare has written.", metavar="A", show_default=False)
    ],
    b: Annotated[Path, typer.Argument(help="And once more.", metavar="B", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every changed row to a file, a line of JSON each."),
    ] = None,
) -> None:
    """Say which settings, splits, rows and texts differ between two prepared folders; 0 if none, 1 if some.

    No text of a row is shown. The section `run` of the manifests, which says how runs went, is not compared.

    \b
    Examples:
      forge diff before after
      forge diff before after --json --rows changed.jsonl
    """
    import orjson

    from forge_gpu.cli.sections import show
    from forge_gpu.errors import OutputError
    from forge_gpu.io.atomic import replacing
    from forge_gpu.io.disk import output_fault
    from forge_gpu.share.differ.compare import compare
    from forge_gpu.share.differ.describe import sections

    with ExitStack() as stack:
        on_row = None
        if rows is not None:
            if rows.exists():
                raise OutputError(f"{rows}: already exists; name another file")
            file = stack.enter_context(stack.enter_context(replacing(rows)).open("wb"))

            def on_row(row: dict[str, Any]) -> None:
                try:
                    file.write(orjson.dumps(row) + b"\n")
                except OSError as fault:
                    raise output_fault(fault, rows) from fault

        comparison = compare(a, b, on_row)
    if as_json:
        options = orjson.OPT_INDENT_2
        sys.stdout.write(orjson.dumps(comparison.to_dict(), option=options).decode() + "\n")
    elif comparison.is_same:
        print(f"the same: {comparison.rows.compared:,} rows, {comparison.texts.same:,} of them in splits")
    else:
        show(sections(comparison))
    if not comparison.is_same:
        raise typer.Exit(1)
