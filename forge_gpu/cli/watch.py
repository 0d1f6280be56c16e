"""`forge watch`: the live page of the jobs in a folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

PORT = 9470


def watch(
    folder: Annotated[
        Path,
        typer.Argument(
            help="An output folder, or one that holds some.", metavar="[FOLDER]", show_default=False
        ),
    ] = Path("."),
    listen: Annotated[
        str,
        typer.Option(
            metavar="PORT|ADDRESS:PORT", help="Where to serve it: on 127.0.0.1, unless another is spelled."
        ),
    ] = str(PORT),
) -> None:
    """Show what jobs are at on a page that goes on with them: jobs that run, were killed, go on or are done.

    Ctrl-C ends it; the jobs know nothing of it.

    \b
    Examples:
      forge watch
      forge watch prepared --listen 8080
      ssh -L 9470:127.0.0.1:9470 far-away forge watch /data/prepared
    """
    from forge_gpu.errors import ConfigError, InputError
    from forge_gpu.report.address import address_of
    from forge_gpu.report.live.jobs import Jobs
    from forge_gpu.report.live.server import Watch

    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; name an output folder, or one that holds some")
    address = address_of(listen)
    if address is None:
        raise ConfigError(f"--listen {listen}: is neither a port nor ADDRESS:PORT")
    server = Watch(Jobs(folder), address)
    print(f"watching {folder.absolute()}; Ctrl-C ends it\nopen {server.url}", flush=True)
    with suppress(KeyboardInterrupt):
        server.run()
