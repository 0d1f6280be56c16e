"""`forge estimate`: what a plan will take, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge_gpu.cli.usage import positive_seconds, whole_number


def estimate(
    plan: Annotated[Path, typer.Argument(metavar="[PLAN]", help="The plan.", show_default=False)] = Path(
        "forge.yaml"
    ),
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="PATH", help="Inputs instead of the plan's; may be repeated."),
    ] = None,
    output: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where prepare will write: the disk that is asked for room.")
    ] = "prepared",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the plan.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="With at most so many threads.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="S", parser=positive_seconds, help="For the look at a part of the data.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the estimate as JSON.")] = False,
) -> None:
    """Say what a plan will take: seconds of each stage, memory, disk, rows, tokens and packs.

    The job itself runs over a part of the data, into a folder that is thrown away. Ends with 2 and the
    reason where the job will not fit on the disk or in the memory.

    \b
    Examples:
      forge estimate
      forge estimate --data more.jsonl --set output.packing=bfd --json
    """
    import sys

    from forge_gpu import library
    from forge_gpu.foretell.foretell import require_fit

    made = library.estimate(
        plan, data=data or None, output=output, settings=settings or (), threads=threads, seconds=seconds
    )
    if as_json:
        import orjson

        sys.stdout.write(orjson.dumps(made.to_dict(), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        from forge_gpu.cli.sections import show
        from forge_gpu.foretell.describe import describe

        show(describe(made))
    require_fit(made)
