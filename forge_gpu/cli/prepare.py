"""`forge prepare`: run a plan."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from forge_gpu.errors import Interrupted

if TYPE_CHECKING:
    from forge_gpu.job.events import Listener

INPUT_PATHS = (
    "Files, folders, globs, @lists or URLs to prepare instead of the plan's; - reads standard input."
)


def prepare(
    paths: Annotated[list[str] | None, typer.Argument(help=INPUT_PATHS, show_default=False)] = None,
    config: Annotated[Path, typer.Option(help="The plan to run.")] = Path("forge.yaml"),
    output: Annotated[Path, typer.Option(help="The folder to write.")] = Path("prepared"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the plan.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Leave out rows near or equal to those of an evaluation file."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Use at most so many threads.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Run on a Dask cluster of so many processes, made for the job.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="URL", help="Run on a Dask cluster, e.g. tcp://host:8786.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first so many rows.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first rejected row.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what an earlier run left.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show warnings only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run a plan: read, check, deduplicate, split, render and write; resume where it was stopped."""
    from forge_gpu import library
    from forge_gpu.cli.progress import progress

    with stopping_at_signals() as check_stop, progress(quiet) as listener:
        if config.exists():
            _tell_of_compiling(listener)
        result = library.prepare(
            config,
            data=paths or None,
            against=against or None,
            output=output,
            settings=settings or (),
            threads=threads,
            workers=workers,
            scheduler=scheduler,
            limit=limit,
            strict=strict,
            fresh=fresh,
            on_event=listener,
            check_stop=check_stop,
        )
    if as_json:
        import orjson

        sys.stdout.write(orjson.dumps(library.summary(result), option=orjson.OPT_INDENT_2).decode() + "\n")
    elif not quiet:
        from forge_gpu.cli.summary import show

        show(result)


def _tell_of_compiling(listener: Listener) -> None:
    """The first run on a machine compiles for some seconds, with nothing to show for it."""
    from forge_gpu.job.events import Warned
    from forge_gpu.kernels.compiled import cache_folder

    if not any(cache_folder().rglob("*.nbi")):
        listener(
            Warned("open", "compiling kernels for this machine, once ('forge warm' does it ahead of time)")
        )


@contextmanager
def stopping_at_signals() -> Iterator[Callable[[], None]]:
    """Turn SIGINT and SIGTERM into a stop between two ranges; a second one stops at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise Interrupted(number)
        received.append(number)
        print("stopping after the range in hand (again to stop at once)", file=sys.stderr, flush=True)

    def check() -> None:
        if received:
            raise Interrupted(received[0])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
