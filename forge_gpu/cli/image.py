"""`forge image`: build the images that jobs run in, and show them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from forge_gpu.cli.usage import group

app = group("Build and show the images that jobs run in.")

Engine = Annotated[
    str, typer.Option("--engine", metavar="NAME", help="docker or podman; auto takes the first that answers.")
]


@app.command()
def build(
    variant: Annotated[
        Literal["cpu", "cu12", "cu13"] | None,
        typer.Argument(help="Which one; the one for this machine if none is named.", show_default=False),
    ] = None,
    engine: Engine = "auto",
    checkout: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The sources, if they are not those of this command."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Another base, with Python 3.11 to 3.14.")
    ] = None,
    extras: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Extras to install, with commas, instead of its own.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Take packages from wheels/ of the sources; fetch nothing.")
    ] = False,
) -> None:
    """Build an image of Forge, with the kernels of this processor and of the levels that it has."""
    from forge_gpu.container.build import build as build_image
    from forge_gpu.container.choose import machine_choice
    from forge_gpu.container.engines import open_engine

    given = {"BASE": base, "EXTRAS": extras}
    tags = build_image(
        open_engine(engine),
        variant or machine_choice().variant,
        checkout,
        offline,
        {name: value for name, value in given.items() if value is not None},
    )
    print(f"built {tags[0]}" + (f", for {', '.join(tags[1:])}" if tags[1:] else ""))


@app.command()
def show(engine: Engine = "auto") -> None:
    """Show the images that are there, and the one for this machine."""
    from forge_gpu.container.build import present
    from forge_gpu.container.choose import machine_choice
    from forge_gpu.container.engines import open_engine

    opened = open_engine(engine)
    print(f"engine: {opened.name} {opened.version}{', rootless' if opened.is_rootless else ''}")
    print(f"this machine: {machine_choice().image}")
    for name, what in present(opened):
        print(f"{name}: {what}")
