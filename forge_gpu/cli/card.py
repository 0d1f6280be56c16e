"""`forge card`: the README.md of a prepared folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def card(
    folder: Annotated[Path, typer.Argument(help="What forge prepare has written.")] = Path("prepared"),
    license: Annotated[
        str | None, typer.Option(metavar="NAME", help="The licence of the data, instead of the plan's.")
    ] = None,
) -> None:
    """Write README.md of a prepared folder: what the hub and `datasets` read, and how the data was made.

    \b
    Examples:
      forge card prepared
      forge card prepared --license cc-by-4.0
    """
    from forge_gpu.share.card.write import write_card

    print(f"wrote {write_card(folder, license)}")
