"""`forge report`: the page of a finished output, made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[
        Path, typer.Argument(help="What forge prepare has written.", metavar="[FOLDER]", show_default=False)
    ] = Path("prepared"),
) -> None:
    """Make report.html of a finished output anew: what came in, what went out, what was left out and why.

    Example: forge report prepared
    """
    from forge_gpu.report.collect import make_report

    print(f"wrote {make_report(folder)}")
