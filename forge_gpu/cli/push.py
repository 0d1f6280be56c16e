"""`forge push`: a prepared folder, put on the hub."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer


def push(
    folder: Annotated[Path, typer.Argument(help="What forge prepare has written.")],
    address: Annotated[str, typer.Argument(help="Where to: hf://datasets/ORG/NAME, or …@BRANCH.")],
    public: Annotated[
        bool, typer.Option("--public", help="Let everyone see it; without, a new data set is private.")
    ] = False,
    bookkeeping: Annotated[
        bool,
        typer.Option(
            "--bookkeeping", help="Push manifest, ledger, rejected rows and report too: they name your files."
        ),
    ] = False,
    license: Annotated[
        str | None, typer.Option(metavar="NAME", help="The licence of the data, instead of the plan's.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show warnings only.")] = False,
) -> None:
    """Put the splits of a prepared folder on the hub, with a card, in one commit; after a kill it goes on.

    The token is the one that `hf auth login` keeps, or $HF_TOKEN.

    \b
    Examples:
      forge push prepared hf://datasets/org/name
      forge push prepared hf://datasets/org/name@second --public --license cc-by-4.0
    """
    from forge_gpu.share.push.push import push as push_folder

    def tell(done: int, total: int) -> None:
        if not quiet:
            print(f"uploaded {done:,} of {total:,} files", file=sys.stderr)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    pushed = push_folder(
        folder, address, public=public, bookkeeping=bookkeeping, license=license, on_progress=tell
    )
    if pushed.kept_card:
        print("warning: the hub has a README.md that Forge did not write; it stays as it is", file=sys.stderr)
    if pushed.left:
        left = ", ".join(pushed.left[:5])
        print(f"warning: files of other data are left there: {left}; remove them by hand", file=sys.stderr)
    if quiet:
        return
    seen = "public" if pushed.is_public else "private"
    if pushed.was_there:
        print(f"{pushed.url} ({seen}): all of it was there already")
        return
    removed = f", {len(pushed.removed):,} of an earlier push removed" if pushed.removed else ""
    print(f"pushed {len(pushed.files):,} files{removed}: {pushed.url} ({seen})")


def _stop(number: int, frame: FrameType | None) -> None:
    """At once: the client's threads would be waited for, and a push may be killed at any moment."""
    os.write(2, b"stopped; run the same command again to go on\n")
    os._exit(128 + number)
