"""`forge prepare`: run a plan."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forge_gpu.cli.stopping import stopping_at_signals
from forge_gpu.cli.usage import STDOUT, address, one_of, require_one_on_stdout, whole_number
from forge_gpu.errors import NoTrainingRows
from forge_gpu.share.track.registry import NAMES as TRACKERS

if TYPE_CHECKING:
    from forge_gpu.job.events.events import Listener
    from forge_gpu.report.debug import Bundle

LEVELS = ("debug", "info", "warning", "error")
INPUT_PATHS = (
    "Files, folders, globs, @lists or URLs to prepare instead of the plan's; - reads standard input."
)


def prepare(
    context: typer.Context,
    paths: Annotated[list[str] | None, typer.Argument(help=INPUT_PATHS, show_default=False)] = None,
    config: Annotated[Path, typer.Option(metavar="FILE", help="The plan to run.")] = Path("forge.yaml"),
    output: Annotated[
        str, typer.Option(metavar="FOLDER", help="The folder to write, or a URL, e.g. s3://bucket/prepared.")
    ] = "prepared",
    staging: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where output for a URL is made before it is uploaded."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the plan.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Leave out rows near or equal to those of an evaluation file."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Use at most so many threads.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole_number,
            help="Run on a Dask cluster of so many processes, made for the job.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="URL", parser=address, help="Run on a Dask cluster, e.g. tcp://host:8786."),
    ] = None,
    container: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="Run in a container: auto takes the image of this machine's GPU architecture.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Take only the first so many rows.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first rejected row.")] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="End with 0 where no row is left to train on.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what an earlier run left.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show warnings only.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Tell of each stage, and why the engine was chosen.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    events: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Append what happens to a file, a line of JSON each; - is standard output."
        ),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Append a log of JSON lines; - shows one to people, on stderr."),
    ] = None,
    log_level: Annotated[
        str, typer.Option(metavar="|".join(LEVELS), parser=one_of(*LEVELS), help="The least that is logged.")
    ] = "info",
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="PORT|FILE.prom",
            help="Serve metrics for Prometheus on 127.0.0.1, or keep them in a file.",
        ),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(TRACKERS),
            parser=one_of(*TRACKERS),
            help="Write the run down: the plan, counts, the report, the data set with its digest.",
        ),
    ] = None,
) -> None:
    """Run a plan: read, check, deduplicate, split, render and write; resume where it was stopped.

    \b
    Examples:
      forge prepare
      forge prepare --output s3://bucket/prepared --threads 8
      forge prepare more.jsonl --set output.format=parquet --limit 1000
    """
    from forge_gpu import library
    from forge_gpu.cli.listeners import opened
    from forge_gpu.cli.progress import progress

    bundle: Bundle | None = context.obj
    if bundle is not None:
        bundle.plan, bundle.output = config, Path(output)
    takes_stdout = require_one_on_stdout({"--events": events == STDOUT, "--json": as_json})
    with (
        stopping_at_signals() as check_stop,
        opened(events, log, log_level, metrics, track or (), output, settings or (), bundle) as written,
        progress(quiet, verbose) as shown,
    ):
        listener = _telling_of_compiling(shown)
        nothing: NoTrainingRows | None = None
        try:
            result = library.prepare(
                config,
                data=paths or None,
                against=against or None,
                output=output,
                staging=staging,
                settings=[*(settings or ()), *([] if container is None else [f"container.use={container}"])],
                threads=threads,
                workers=workers,
                scheduler=scheduler,
                limit=limit,
                strict=strict,
                fresh=fresh,
                on_event=listener,
                listeners=written.all,
                check_stop=check_stop,
                allow_empty=allow_empty,
            )
        except NoTrainingRows as fault:
            result, nothing = fault.result, fault
        written.finished(result)
    if as_json:
        import orjson

        sys.stdout.write(orjson.dumps(library.summary(result), option=orjson.OPT_INDENT_2).decode() + "\n")
    elif not quiet:
        from forge_gpu.cli.summary import show

        with redirect_stdout(sys.stderr if takes_stdout else sys.stdout):
            show(result, verbose)
    if nothing is not None:
        raise nothing


def _telling_of_compiling(listener: Listener) -> Listener:
    """The first run on a machine compiles for some seconds, with nothing to show for it."""
    from forge_gpu.job.events.events import Event, StageStarted, Warned
    from forge_gpu.kernels.cache import cache_folder
    from forge_gpu.kernels.compiled import LIBRARY

    is_announced = LIBRARY is not None or any(cache_folder().rglob("*.nbi"))

    def listen(event: Event) -> None:
        nonlocal is_announced
        if not is_announced and isinstance(event, StageStarted):
            is_announced = True
            what = "compiling kernels for this machine, once ('forge warm' does it ahead of time)"
            listener(Warned("open", what))
        listener(event)

    return listen
