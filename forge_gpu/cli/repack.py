"""`forge repack`: other packs of a prepared folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from forge_gpu.cli.usage import whole_number


def repack(
    folder: Annotated[Path, typer.Argument(help="What forge prepare has written.")] = Path("prepared"),
    output: Annotated[Path, typer.Option(help="The folder to write.")] = Path("repacked"),
    length: Annotated[
        int | None, typer.Option(parser=whole_number, metavar="N", help="Tokens of a pack.")
    ] = None,
    packing: Annotated[
        str | None, typer.Option(metavar="NAME", help="bfd, wrapped or none; bfd where there are no packs.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="What no pack goes over: split, file or length.")
    ] = None,
) -> None:
    """Pack the rows of a prepared folder of tokens anew. They are not encoded again.

    \b
    Examples:
      forge repack prepared --length 8192
      forge repack prepared --length 4096 --packing wrapped --output packs-4k
    """
    from forge_gpu.derive.repack import repack as make

    made = make(folder, output, length=length, packing=packing, within=by)
    for warning in made.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for split, sums in made.result.manifest.get("packs", {}).get("splits", {}).items():
        if sums["rows"]:
            print(f"{split}: {sums['rows']:,} rows, {sums['tokens']:,} tokens in {sums['packs']:,} packs")
    print(f"wrote {output}")
